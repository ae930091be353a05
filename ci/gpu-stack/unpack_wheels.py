"""Unpack wheels into one folder that serves as PYTHONPATH, without installing anything.

    python unpack_wheels.py WHEELS FOLDER [LEFT_OUT]

LEFT_OUT names a file of patterns, each with a reason behind it: what fits is not unpacked, and told with its size.
"""

import fnmatch
import pathlib
import re
import shutil
import sys
import zipfile


def patterns(file: pathlib.Path) -> dict[str, str]:
    """The reason by pattern."""
    lines = [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    return dict(line.split(maxsplit=1) for line in lines)


def place(entry: str) -> str | None:
    """Where a wheel's entry goes under site-packages; nothing for what does not (scripts, headers, data)."""
    data = re.match(r"[^/]+\.data/([^/]+)/(.+)", entry)
    if data is None:
        return entry
    return data[2] if data[1] in ("purelib", "platlib") else None


def main() -> None:
    wheels, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    reasons = patterns(pathlib.Path(sys.argv[3])) if len(sys.argv) > 3 else {}
    left_out = dict.fromkeys(reasons, 0)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                path = None if entry.is_dir() else place(entry.filename)
                if path is None:
                    continue
                pattern = next((pattern for pattern in reasons if fnmatch.fnmatchcase(path, pattern)), None)
                if pattern is not None:
                    left_out[pattern] += entry.file_size
                    continue
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as output:
                    shutil.copyfileobj(source, output)
    for pattern, size in left_out.items():
        if size == 0:
            sys.exit(f"{sys.argv[3]}: {pattern} fits no file of these wheels")
        print(f"{size / 1e6:6.1f} MB  {pattern}  {reasons[pattern]}")


if __name__ == "__main__":
    main()
