"""Write simulated scans: ``python -m weights.recipe.simulate --kind driving -o DIR``."""

import argparse
from multiprocessing import get_context
from pathlib import Path

from weights.recipe.simulate.batch import write_scan


def main() -> None:
    """Parse the command line and write the scans."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=["driving", "aerial", "indoor"], required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scan")
    parser.add_argument("--data", type=Path, help="folder with meshes/*.tar.xz; none: shapes only")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--folder", type=Path, required=True)
    wanted = parser.parse_args()
    wanted.folder.mkdir(parents=True, exist_ok=True)
    jobs = [(wanted.kind, wanted.seed + k, wanted.folder, wanted.data) for k in range(wanted.count)]
    with get_context("spawn").Pool(wanted.jobs) as pool:
        for line in pool.imap_unordered(write_scan, jobs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
