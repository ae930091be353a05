"""Runs a command and prints its wall time in s and its largest resident memory in MB, separated by a space.

Usage: timed.py COMMAND ARGUMENT…
"""

import resource
import subprocess
import sys
import time

begun = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
wall = time.monotonic() - begun
# Linux counts in KiB.
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
print(f"{wall:.2f} {peak:.0f}")
sys.exit(code)
