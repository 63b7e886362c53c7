"""How long ``clip3d --help`` takes, in seconds: the best and the middle of ten starts."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

STARTS = 10
COMMANDS = (("--help",), ("label", "--help"), ("vocabularies",))


def seconds(arguments: tuple[str, ...]) -> float:
    began = time.perf_counter()
    command = "from clip3d_cli.cli.app import main; main()"
    subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    for arguments in COMMANDS:
        times = [seconds(arguments) for _ in range(STARTS)]
        middle = statistics.median(times)
        print(f"clip3d {' '.join(arguments):16} best {min(times):.2f} s, median {middle:.2f} s")
