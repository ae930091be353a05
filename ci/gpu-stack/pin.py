"""Write requirements.txt: an exact version of every package that vLLM and LMCache need on a host with NVIDIA GPUs.

Run by hand when a version below is to move, on any host, in an empty virtual environment of Python 3.12 (pip judges a requirement's markers by the
interpreter that it runs under):

    python3.12 -m venv /tmp/pin && /tmp/pin/bin/pip install --upgrade pip && /tmp/pin/bin/python ci/gpu-stack/pin.py

Nothing is installed: pip resolves for Linux on x86_64 and says what it would take. So the pins are known to fit each other by what the packages
declare, and to exist as wheels. bundle.txt, which ran, comes first: where a package is in both, its version there is taken.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOTS = ["vllm==0.24.0", "lmcache==0.5.0"]
# What the host of bundle.txt brought.
HOST = ["transformers==5.17.0"]
# vLLM asks for this very version beside FlashInfer and TileLang, which the bundle is without.
NOT_AS_BUNDLED = {"apache-tvm-ffi"}

HERE = pathlib.Path(__file__).parent
# Up to the glibc of Ubuntu 24.04. pip takes a platform at its word, so the older ones are listed, too.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(5, 40)] + ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]


def bundled() -> list[str]:
    lines = (line.strip() for line in (HERE / "bundle.txt").read_text().splitlines())
    return [line for line in lines if "==" in line and not line.startswith("#") and line.split("==")[0] not in NOT_AS_BUNDLED]


def main() -> None:
    if sys.version_info[:2] != (3, 12):
        sys.exit("pin.py: the pins are for Python 3.12, run this under it")
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = pathlib.Path(scratch_name)
        (scratch / "constraints.txt").write_text("\n".join(bundled() + HOST) + "\n")
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary=:all:",
            "--target", str(scratch / "nowhere"), "--python-version", "3.12", "--implementation", "cp",
            *(argument for platform in PLATFORMS for argument in ("--platform", platform)),
            "--constraint", str(scratch / "constraints.txt"), "--report", str(scratch / "report.json"), *ROOTS,
        ]
        subprocess.run(command, check=True)
        report = json.loads((scratch / "report.json").read_text())

    pins = {re.sub(r"[-_.]+", "-", item["metadata"]["name"].lower()): item["metadata"]["version"] for item in report["install"]}
    header = [
        "# Every package of the GPU stack, exactly. Made by pin.py; installed by ../setup-gpu-stack.sh with `pip install --no-deps -r`.",
        "# Resolved without installing, for Python 3.12 on Linux x86_64: every requirement that a package declares is met by the others.",
    ]
    (HERE / "requirements.txt").write_text("\n".join(header + [f"{name}=={version}" for name, version in sorted(pins.items())]) + "\n")
    print(f"{HERE / 'requirements.txt'}: {len(pins)} packages")


if __name__ == "__main__":
    main()
