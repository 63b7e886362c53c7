"""Where the seconds of ``clip3d label`` go, from the start of Python to the file on disk.

    python -m benchmarks.end_to_end SCAN [--runs 5] [--cores 2]

Each run is a process of its own on so many cores. The floor is what the process spends before it
touches the scan: Python, torch, and the models. Prints the median of each step over the runs,
the whole wall time with its spread, and the peak memory. Linux only: it pins cores.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = "road,sidewalk,building,vegetation,car,person,pole,terrain"
COMMAND = "from clip3d_cli.cli.app import main; main()"


def one_run(scan: Path, cores: int, folder: Path) -> dict[str, float]:
    """The seconds of one process by step, its wall time and its peak memory in MB."""
    target = folder / f"labelled{''.join(scan.suffixes)}"
    arguments = ["label", str(scan), "--classes", WORDS, "-o", str(target), "--overwrite", "--json"]
    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(cores)},
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores]),
    )
    text = child.stdout.read() if child.stdout else b""
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"clip3d label failed on {scan}")
    document = json.loads(text)
    (result,) = document["results"]
    steps = {**document["seconds"], **result["seconds"]}
    return {**steps, "all (wall)": wall, "peak MB": usage.ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [one_run(args.scan, args.cores, Path(folder)) for _ in range(args.runs)]
    print(f"{args.scan.name}, {args.cores} cores of {platform.processor() or platform.machine()}")
    for step in runs[0]:
        values = [run[step] for run in runs]
        print(
            f"  {step:12} {statistics.median(values):8.2f}  ({min(values):.2f}–{max(values):.2f})"
        )


if __name__ == "__main__":
    main()
