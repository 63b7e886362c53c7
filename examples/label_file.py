"""Label a file from Python: ``python examples/label_file.py scan.ply labelled.ply``."""

from __future__ import annotations

import argparse
from pathlib import Path

import clip3d_cli as clip3d

CLASSES = ["road", "sidewalk", "grass", "building", "tree=bush", "car=sedan|van", "person", "pole"]


def main() -> None:
    """Label one file and print how many points each class has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("labelled", type=Path, help="any format that clip3d label -o can write")
    args = parser.parse_args()

    labeller = clip3d.Labeller.open()
    cloud = clip3d.read_cloud(args.scan)
    labels = labeller.label(cloud, CLASSES)
    for count in clip3d.count_classes(labels):
        print(f"{count.entry.name:10} {count.points:8,} points")
    clip3d.write_labels(labels, args.scan, args.labelled, overwrite=True)


if __name__ == "__main__":
    main()
