"""Measure the runner against the minimal client, cell by cell. Started by ../bench-load.sh, which builds what it needs.

    python3 measure.py --binaries DIR [--quick | --only NAME…]

Both clients ask the same paced engine in turn: the engine on one core, the client with all of its threads on the other. CPU is that of the
whole client process from its start to its last row: for the runner that includes reading the scenario, making the prompts, telemetry and
recording. The engine says in its usage chunk when it served, on the clock that the runner stamps with. Exits 1 when a count or a ratio is out
of bounds; milliseconds are printed, because hosts differ.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ENGINE_CORE, CLIENT_CORE = 0, 1
# CPU of the runner over that of the minimal client for the same work; with room for a busy host.
CPU_RATIO_MAX = 2.0
# Events per CPU second of the runner over those of the minimal client.
EVENT_RATE_RATIO_MIN = 0.5
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Cell:
    """One schedule of requests. Times are in ms; a rate makes an open loop, a concurrency a closed one."""

    name: str
    requests: int
    output_tokens: int
    ttft: int
    itl: int
    rate: int | None = None
    concurrency: int | None = None
    prompt_tokens: int = 40
    compared: bool = True


CELLS = [Cell(f"open-{rate}", rate * 15, 64, 50, 10, rate=rate) for rate in (20, 100, 300, 600, 1200)] + [
    Cell("fast-64", 10_240, 256, 0, 0, concurrency=64),
    Cell("long-8", 160, 64, 50, 10, concurrency=8, prompt_tokens=16_384),
    Cell("streams-10000", 10_000, 8, 20_000, 1000, concurrency=10_000, compared=False),
]
QUICK = [
    Cell("open-300", 3000, 64, 50, 10, rate=300),
    Cell("fast-64", 5120, 256, 0, 0, concurrency=64),
    Cell("long-8", 40, 64, 50, 10, concurrency=8, prompt_tokens=16_384),
]

SCENARIO = """\
question = "What does the client cost?"
model = "builtin:tiny"

[workload.shared-context]
context-length = {context}
reuse-count = {requests}
query-length = {query}
output-length = {output}

[arrival.{arrival}

[engine.paced]
attach = {{ url = "http://127.0.0.1:{port}" }}

[trials]
at-least = 1
"""

# Nothing is scaled down.
PROFILE = """\
description = "the load benchmark"
engine = "builtin"
residency = "resident"
"""

# Two engines, three experiments, three trials: what the suite adds between them.
RESIDENT = """\
question = "What does the suite add to the measurement?"
model = "builtin:tiny"

[workload.shared-context]
context-length = [1024, 2048, 4096]
reuse-count = 10
query-length = 16
output-length = 16

[arrival.closed]
concurrency = 1

[engine.one]
kind = "builtin"
backend.local-cpu = { capacity = "1GB" }
paced = { base-latency = "50ms", time-per-output-token = "10ms" }

[engine.two]
kind = "builtin"
backend.none = {}
paced = { base-latency = "50ms", time-per-output-token = "10ms" }

[trials]
at-least = 3
"""


def busy_s():
    """CPU seconds that anything on this host has used, time stolen by its own host included."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def on_core(core):
    return lambda: os.sched_setaffinity(0, {core})


class Engine:
    """A paced engine on its own core."""

    def __init__(self, binaries, folder, ttft, itl):
        script = folder / f"paced-{ttft}-{itl}.toml"
        script.write_text(f'base-latency = "{ttft}ms"\ntime-per-output-token = "{itl}ms"\n')
        self.port = free_port()
        command = [binaries / "runner", "engine", "--model", "builtin:tiny", "--port", str(self.port), "--paced", script]
        self.process = subprocess.Popen(command, preexec_fn=on_core(ENGINE_CORE), stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the paced engine does not start")
            time.sleep(0.02)

    def ready(self):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as answer:
            return answer.status == 200
        return False

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        self.process.terminate()
        self.process.wait()


def free_port():
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Run:
    """One run of the runner, and what its folder says."""

    def __init__(self, binaries, folder, name, scenario, *options, interrupt_at_first_row=False):
        file = folder / f"{name}.toml"
        file.write_text(scenario)
        profile = folder / "profile.toml"
        profile.write_text(PROFILE)
        command = [binaries / "runner", "--profile", profile, "--no-report", "--quiet", *options, "--output-dir", folder / "outputs", file]
        self.started_ns = time.monotonic_ns()
        process = subprocess.Popen(command, preexec_fn=on_core(CLIENT_CORE))
        rows = folder / "outputs" / name / "latest" / "rows.jsonl"
        if interrupt_at_first_row:
            deadline = time.monotonic() + 120
            while not (rows.exists() and rows.stat().st_size) and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        # All of it, tables included, which the manifest's figure leaves out.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.whole_cpu_s = usage.ru_utime + usage.ru_stime
        self.folder = rows.parent
        self.rows_bytes = rows.stat().st_size
        self.rows = [json.loads(line) for line in rows.open()]
        self.manifest = json.loads((self.folder / "manifest.json").read_text())

    @property
    def cpu_s(self):
        return self.manifest["client"]["cpu_ns"] / 1e9

    @property
    def request_thread_cpu_s(self):
        return sum(beat["thread_cpu_ns"] for beat in self.manifest["client"]["heartbeat"]) / 1e9

    @property
    def peak_rss(self):
        return self.manifest["client"]["peak_rss_bytes"]

    @property
    def span_s(self):
        return (max(row["done_ns"] or 0 for row in self.rows) - min(row["intended_ns"] for row in self.rows)) / 1e9

    def first_sent_ms(self):
        """From the start of the process to the first request on its way."""
        first = min(row["sent_ns"] for row in self.rows if row["sent_ns"] is not None)
        return (self.manifest["started_monotonic_ns"] + first - self.started_ns) / 1e6

    def differences_ms(self, later, earlier):
        pairs = [(row[later], row[earlier]) for row in self.rows]
        return [(a - b) / 1e6 for a, b in pairs if a is not None and b is not None]


def p99(values):
    values = sorted(values)
    return values[(len(values) - 1) * 99 // 100] if values else float("nan")


@dataclasses.dataclass
class Figures:
    """What a cell came to."""

    lost: int
    lateness_p99_ms: float
    ttft_error_p99_ms: float
    cpu_ratio: float | None
    event_rate_ratio: float | None

    def out_of_bounds(self, cell):
        if self.lost:
            yield f"{cell.name}: {self.lost} requests lost"
        if cell.rate and self.cpu_ratio > CPU_RATIO_MAX:
            yield f"{cell.name}: {self.cpu_ratio:.2f} times the minimal client's CPU, at most {CPU_RATIO_MAX}"
        if cell.concurrency and cell.compared and self.event_rate_ratio < EVENT_RATE_RATIO_MIN:
            yield f"{cell.name}: {self.event_rate_ratio:.2f} of the minimal client's events per CPU second, at least {EVENT_RATE_RATIO_MIN}"


def measure(binaries, folder, engine, cell):
    query = 8
    arrival = f'constant]\nrate = "{cell.rate}/s"' if cell.rate else f"closed]\nconcurrency = {cell.concurrency}"
    scenario = SCENARIO.format(
        context=cell.prompt_tokens - query, requests=cell.requests, query=query, output=cell.output_tokens, arrival=arrival, port=engine.port
    )
    engine_before, busy_before = engine.cpu_s(), busy_s()
    run = Run(binaries, folder, cell.name, scenario)
    engine_cpu = engine.cpu_s() - engine_before
    others = max(busy_s() - busy_before - engine_cpu - run.whole_cpu_s, 0)
    minimal = minimal_client(binaries, engine, cell) if cell.compared else None

    # Rows of another length, because something was scaled down, would not count.
    answered = sum(row["outcome"] == "ok" and row["prompt_tokens"] >= cell.prompt_tokens for row in run.rows)
    errors = [abs(error) for error in run.differences_ms("first_content_ns", "served_first_ns")]
    figures = Figures(
        lost=cell.requests - answered,
        lateness_p99_ms=p99(run.differences_ms("sent_ns", "intended_ns")),
        ttft_error_p99_ms=p99(errors),
        cpu_ratio=minimal and run.cpu_s / (minimal["cpu_ns"] / 1e9),
        event_rate_ratio=minimal and (minimal["cpu_ns"] / 1e9) / run.cpu_s,
    )
    print(
        f"{cell.name:14} {answered}/{cell.requests} answered, sent − intended p99 {figures.lateness_p99_ms:.3f} ms, "
        f"|measured − served TTFT| p99 {figures.ttft_error_p99_ms:.3f} ms"
    )
    events = cell.requests * cell.output_tokens
    line = f"  runner   CPU {run.cpu_s:6.2f} s (request thread {run.request_thread_cpu_s:.2f} s), {events / run.cpu_s / 1e3:6.0f}k events per CPU second, "
    print(f"{line}peak RSS {run.peak_rss / 1e6:.0f} MB, rows {run.rows_bytes / 1e6:.0f} MB; engine {engine_cpu / run.span_s:.0%} of its core, others {others:.2f} s")
    if minimal:
        cpu_s = minimal["cpu_ns"] / 1e9
        print(
            f"  minimal  CPU {cpu_s:6.2f} s, {events / cpu_s / 1e3:6.0f}k events per CPU second, peak RSS {minimal['peak_rss_bytes'] / 1e6:.0f} MB, "
            f"{minimal['answered']}/{cell.requests} answered"
            + (f", sent − intended p99 {minimal['lateness_p99_ns'] / 1e6:.3f} ms" if cell.rate else "")
        )
        print(f"  ratio    CPU {figures.cpu_ratio:.2f}, events per CPU second {figures.event_rate_ratio:.2f}", flush=True)
    return figures


def minimal_client(binaries, engine, cell):
    arrival = ["--rate", str(cell.rate)] if cell.rate else ["--concurrency", str(cell.concurrency)]
    command = [binaries / "examples" / "minimal_client", "--port", str(engine.port), "--requests", str(cell.requests), *arrival]
    command += ["--prompt-tokens", str(cell.prompt_tokens), "--output-tokens", str(cell.output_tokens)]
    done = subprocess.run(command, preexec_fn=on_core(CLIENT_CORE), stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def start(binaries, folder, engine):
    """One request to a ready engine, without a warm-up: from the process's start to the request."""
    scenario = SCENARIO.format(context=32, requests=1, query=8, output=4, arrival="closed]\nconcurrency = 1", port=engine.port)
    times = sorted(Run(binaries, folder, "start", scenario, "--no-warm-up").first_sent_ms() for _ in range(10))
    print(f"start          process start to first request: median {times[5]:.0f} ms, longest {times[-1]:.0f} ms")


def prompts(binaries, folder, engine):
    """10,000 requests of 16,384 tokens, with a context each: how long the first waits, and what they weigh."""
    text = SCENARIO.replace("reuse-count = {requests}", "reuse-count = 1\ncontexts = {requests}")
    scenario = text.format(context=16_376, requests=10_000, query=8, output=4, arrival="closed]\nconcurrency = 1", port=engine.port)
    run = Run(binaries, folder, "prompts", scenario, "--no-warm-up", interrupt_at_first_row=True)
    print(f"prompts        10,000 of 16,384 tokens, none shared: first request after {run.first_sent_ms() / 1e3:.1f} s, peak RSS {run.peak_rss / 1e6:.0f} MB")


def overhead(binaries, folder):
    """Two engines, three experiments, three trials: time in which nothing started, stopped or was in flight (reports/README.md has the metric)."""
    run = Run(binaries, folder, "overhead", RESIDENT)
    spans = {}
    for row in run.rows:
        turn = spans.setdefault((row["experiment"], row["trial"], row["engine_id"]), [row["intended_ns"], 0])
        turn[0] = min(turn[0], row["intended_ns"])
        turn[1] = max(turn[1], row["done_ns"] or row["intended_ns"])
    busy = list(spans.values())
    for process in run.manifest["processes"]:
        busy += [[process["started_ns"], process["ready_ns"]], [process["stopping_ns"], process["ended_ns"]]]
    wall = max(end for _, end in busy)
    covered = reached = 0
    for begin, end in sorted(busy):
        begin = max(begin, reached)
        if end > begin:
            covered += end - begin
            reached = end
    added = (wall - covered) / 1e9
    print(f"overhead       {added:.2f} s of {wall / 1e9:.1f} s, at most {0.03 * wall / 1e9 + 2:.2f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binaries", type=pathlib.Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    args = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        sys.exit("two cores are needed: one for the engine, one for the client")
    binaries = args.binaries.resolve()
    wanted = lambda name: args.only is None or name in args.only
    cells = [cell for cell in (QUICK if args.quick else CELLS) if wanted(cell.name)]
    problems, all_figures = [], []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        engines = {}

        def engine(ttft, itl):
            if (ttft, itl) not in engines:
                engines[ttft, itl] = Engine(binaries, folder, ttft, itl)
                stack.callback(engines[ttft, itl].stop)
            return engines[ttft, itl]

        for cell in cells:
            figures = measure(binaries, folder, engine(cell.ttft, cell.itl), cell)
            all_figures.append((cell, figures))
            problems += figures.out_of_bounds(cell)
        if not args.quick:
            for extra in (start, prompts):
                if wanted(extra.__name__):
                    extra(binaries, folder, engine(0, 0))
            if wanted("overhead"):
                overhead(binaries, folder)
    for problem in problems:
        print(problem, file=sys.stderr)
    if args.quick and all_figures:
        opened = [figures for cell, figures in all_figures if cell.rate]
        timed = [figures for cell, figures in all_figures if cell.ttft]
        print(
            f"cpu_ratio={max(figures.cpu_ratio for figures in opened):.2f} "
            f"lateness_p99_ms={max(figures.lateness_p99_ms for figures in opened):.3f} "
            f"ttft_error_p99_ms={max(figures.ttft_error_p99_ms for figures in timed):.3f} "
            f"lost={sum(figures.lost for _, figures in all_figures)}"
        )
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
