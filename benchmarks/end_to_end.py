"""Measure where the time of ``clip3d label`` goes, from the start of Python to the written file.

    python -m benchmarks.end_to_end SCAN [--runs 5] [--cores 2]

Prints the median, lowest and highest time of each step over several runs, and the peak memory.
Every run is a process of its own on the given number of cores. Time that no step has is the start
of Python and its imports.

There is nothing to compare with: run it before and after a change, on an idle machine. It takes a
few seconds. Linux only, as it pins processes to cores.
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


def measure_run(scan: Path, cores: int, folder: Path) -> dict[str, float]:
    """Return the seconds of each step of one process, its wall time, and its peak memory in MB."""
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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scan", type=Path, help="point cloud to label")
    parser.add_argument("--runs", type=int, default=5, help="number of processes (default: 5)")
    parser.add_argument("--cores", type=int, default=2, help="cores of each process (default: 2)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [measure_run(args.scan, args.cores, Path(folder)) for _ in range(args.runs)]
    print(f"{args.scan.name}, {args.cores} cores of {platform.processor() or platform.machine()}")
    for step in runs[0]:
        values = [run[step] for run in runs]
        median = statistics.median(values)
        print(f"  {step:12} {median:8.2f}  ({min(values):.2f}–{max(values):.2f})")


if __name__ == "__main__":
    main()
