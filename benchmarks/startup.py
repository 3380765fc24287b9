"""How long commands take that neither train nor separate: python benchmarks/startup.py [RUNS]

The best of several runs, each in a fresh interpreter: seconds on the clock, and of CPU time, which
a busy machine changes less.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

from instglow.cli.main import COMMANDS


def measure(words: list[str]) -> tuple[float, float]:
    """-> seconds on the clock and of CPU time."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "instglow.cli.main", *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    helps = [["--help"], *([command, "--help"] for command in COMMANDS)]
    for words in (*helps, ["list-priors"], ["show-prior", "bass"]):
        clocks, cpu = zip(*(measure(words) for _ in range(runs)), strict=True)
        print(f"instglow {' '.join(words):20}  {min(clocks):5.2f} s, CPU {min(cpu):5.2f} s")


if __name__ == "__main__":
    main()
