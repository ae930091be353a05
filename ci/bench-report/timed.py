"""Runs a command and prints its wall time in s, its CPU time in s and its largest resident memory in MB, separated by spaces.

Usage: timed.py COMMAND ARGUMENT…
"""

import resource
import subprocess
import sys
import time

begun = time.monotonic()
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
wall = time.monotonic() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
# Linux counts in KiB.
print(f"{wall:.2f} {used.ru_utime + used.ru_stime:.2f} {used.ru_maxrss * 1024 / 1e6:.0f}")
sys.exit(code)
