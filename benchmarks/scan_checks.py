"""Print the checks of every scan in folders, for false alarms and for time.

python -m benchmarks.scan_checks FOLDER...
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from clip3d_cli.errors import Clip3DError
from clip3d_cli.formats.cloud_file import read_cloud
from clip3d_cli.labelling.preparation import measured_points
from clip3d_cli.labelling.scan_checks import check_scan, estimate_noise


def main() -> None:
    """Print a line for each scan: points, noise, time, and its warnings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", help="folders of scans")
    folders = parser.parse_args().folders
    scans, warned = 0, 0
    for path in sorted(path for folder in folders for path in Path(folder).rglob("*")):
        if not path.is_file():
            continue
        try:
            cloud = read_cloud(path)
        except Clip3DError:
            continue
        began = time.perf_counter()
        warnings = check_scan(cloud, path.name)
        seconds = time.perf_counter() - began
        noise_m = estimate_noise(measured_points(cloud)[0].xyz)
        scans, warned = scans + 1, warned + bool(warnings)
        noise = "     " if noise_m is None else f"{noise_m:.3f}"
        codes = " ".join(f"{each.code} ({each.text})" for each in warnings)
        print(
            f"{path.name[-30:]:30} {len(cloud):9,} noise {noise} m {1e3 * seconds:5.0f} ms {codes}"
        )
    print(f"{scans} scans, {warned} with warnings")


if __name__ == "__main__":
    main()
