"""Write simulated scans, one file per seed. Files that are there are kept.

python -m weights.recipe.simulate --kind driving --count 400 --data ../shared/data -o sim/driving
"""

import argparse
import os
from multiprocessing import get_context
from pathlib import Path

from weights.recipe.simulate.scans import SCENES, scan_path, write_scan


def main() -> None:
    """Parse the command line and write the scans."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=SCENES, required=True, help="kind of scene")
    parser.add_argument("--count", type=int, default=1, help="number of scans (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scan (default: 0)")
    parser.add_argument(
        "--data", type=Path, help="folder with meshes/*.tar.xz; without it, all is generated"
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of processes (default: 1)")
    parser.add_argument("-o", "--folder", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    seeds = range(args.seed, args.seed + args.count)
    missing = [seed for seed in seeds if not scan_path(args.folder, args.kind, seed).exists()]
    jobs = [(args.kind, seed, args.folder, args.data) for seed in missing]
    # glibc gives the memory of large arrays back at once, and new pages cost a fifth of the time.
    # The processes that are started below read these when they start.
    for name, size in (("MMAP_THRESHOLD", 1 << 30), ("TRIM_THRESHOLD", 1 << 30)):
        os.environ.setdefault(f"MALLOC_{name}_", str(size))
    with get_context("spawn").Pool(args.jobs) as pool:
        for line in pool.imap_unordered(write_scan, jobs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
