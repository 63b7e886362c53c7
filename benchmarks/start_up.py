"""Measure how long ``clip3d --help`` and other commands without work take to start and end.

    python -m benchmarks.start_up

Prints the best and the median of ten starts each, in seconds. The goal for ``clip3d --help`` is
under 0.5 s. It takes about ten seconds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

STARTS = 10
COMMANDS = (("--help",), ("label", "--help"), ("vocabularies",))


def measure_start(arguments: tuple[str, ...]) -> float:
    """Return the seconds that a command takes in a process of its own."""
    began = time.perf_counter()
    command = "from clip3d_cli.cli.app import main; main()"
    subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, check=True)
    return time.perf_counter() - began


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    for arguments in COMMANDS:
        seconds = [measure_start(arguments) for _ in range(STARTS)]
        best, median = min(seconds), statistics.median(seconds)
        print(f"clip3d {' '.join(arguments):16} best {best:.2f} s, median {median:.2f} s")


if __name__ == "__main__":
    main()
