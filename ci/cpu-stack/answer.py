"""Prove that the stack serves: start vLLM on the stand-in model, have one request answered, stop it, leave nothing behind.

    python answer.py MODEL LOG

Runs under the interpreter that has vLLM. Exits 0 and prints the time to first token, or 1 with the end of the log.
"""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

# The first start reads cold files: 40 s on two free cores, and 177 s was seen beside other work.
READY_S = 600
REQUEST_S = 120
GRACE_S = 10
PROMPT_WORDS = 512
OUTPUT_TOKENS = 8

# One word of the stand-in tokenizer each. Only their number matters.
PROMPT = "".join(f" {chr(97 + i // 26 % 26)}{chr(97 + i % 26)}" for i in range(PROMPT_WORDS))

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONHASHSEED": "0",
}


class Failure(Exception):
    """The stack does not serve; the text says how far it came."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def members(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # The command name, in brackets, may hold anything, brackets and spaces included.
            state, _, its_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(int(entry.name))
    return found


def shared_memory(processes: list[int]) -> set[str]:
    """Files in /dev/shm that these processes have mapped."""
    paths = set()
    for process in processes:
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{process}/maps").read_text().splitlines():
                path = line.split(maxsplit=5)[-1]
                if path.startswith("/dev/shm/"):
                    paths.add(path.removesuffix(" (deleted)"))
    return paths


def stop(engine: subprocess.Popen) -> None:
    """TERM to the whole group, then KILL: the server alone would leave its workers, and KILL leaves shared memory."""
    mapped = shared_memory(members(engine.pid))
    for how in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(engine.pid, how)
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline:
            engine.poll()
            if not members(engine.pid):
                break
            time.sleep(0.1)
        else:
            continue
        break
    for path in mapped:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def engine(model: str, log: pathlib.Path, arguments: tuple[str, ...] = (), environment: dict[str, str] | None = None):
    """vLLM, serving `model` as "stand-in" on a free port of this host alone; gives the port and the seconds until it was ready."""
    port = free_port()
    dtype = json.loads(pathlib.Path(model, "config.json").read_text())["torch_dtype"]
    with tempfile.TemporaryDirectory(prefix="kvbench-answer-") as scratch, log.open("wb") as output:
        command = [
            sys.executable, "-m", "vllm.entrypoints.openai.api_server",
            "--model", model, "--served-model-name", "stand-in", "--dtype", dtype,
            "--max-model-len", "16384", "--enforce-eager", "--enable-prompt-tokens-details", "--enable-per-request-metrics",
            "--host", "127.0.0.1", "--port", str(port), *arguments,
        ]
        begun = time.monotonic()
        server = subprocess.Popen(
            command,
            cwd=scratch,
            env=os.environ | ENVIRONMENT | {"TMPDIR": scratch} | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_ready(server, port, begun + READY_S)
            yield port, time.monotonic() - begun
        finally:
            stop(server)


def wait_until_ready(server: subprocess.Popen, port: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Failure(f"vLLM ended with {server.returncode} before it was ready")
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.25)
    raise Failure(f"vLLM is not ready after {READY_S} s")


def ask(port: int, prompt: str) -> dict:
    """One streaming chat completion: seconds from sending to the first content, and the engine's own account in `usage`."""
    body = {
        "model": "stand-in",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": OUTPUT_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_S)
    connection.connect()
    sent = time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise Failure(f"vLLM answers {response.status}: {response.read().decode(errors='replace')}")
    first_s, text, usage = None, "", None
    for line in response:
        data = line.decode().removeprefix("data: ").strip()
        if not data or data == "[DONE]":
            continue
        event = json.loads(data)
        if "error" in event:
            raise Failure(f"vLLM breaks off: {event['error']}")
        for choice in event["choices"]:
            content = choice["delta"].get("content")
            if content and first_s is None:
                first_s = time.monotonic() - sent
            text += content or ""
        usage = event.get("usage") or usage
    if first_s is None or usage is None:
        raise Failure(f"vLLM answers without {'content' if first_s is None else 'usage'}")
    return {"ttft_s": first_s, "text": text, "usage": usage}


def main() -> None:
    model, log = sys.argv[1], pathlib.Path(sys.argv[2])
    # So that a TERM unwinds like Ctrl-C does, and the engine is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with engine(model, log) as (port, ready_s):
            answer = ask(port, PROMPT)
    except KeyboardInterrupt:
        sys.exit(130)
    except (Failure, OSError) as failure:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        sys.exit(f"{failure}\nThe end of {log}:\n{end}")
    usage = answer["usage"]
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    print(
        f"ready after {ready_s:.0f} s; first token of {usage['prompt_tokens']} in {answer['ttft_s']:.2f} s, "
        f"{usage['completion_tokens']} tokens out, cached tokens {'not told' if cached is None else cached}"
    )


if __name__ == "__main__":
    main()
