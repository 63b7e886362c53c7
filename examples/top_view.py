"""Draw a labelled scan from above: `python examples/top_view.py street.clip3d.ply street.png`.

Reads the label field and the colors that clip3d wrote beside the file (`*.classes.json`), draws
every point in its class's color, low points first, with a legend of the commonest classes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

UNLABELED_INDEX = (160, 160, 160)


def read_labelled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The coordinates (N, 3) and the class numbers (N,) of a labelled PLY, LAS or LAZ file."""
    if path.suffix == ".ply":
        from plyfile import PlyData

        vertex = PlyData.read(path)["vertex"]
        xyz = np.stack([vertex[axis] for axis in "xyz"], axis=1).astype(np.float64)
        return xyz, np.asarray(vertex["scalar_label"]).astype(int)
    import laspy

    las = laspy.read(path)
    return np.asarray(las.xyz), np.asarray(las["clip3d_label"]).astype(int)


def read_classes(path: Path) -> dict[int, tuple[str, tuple[int, int, int]]]:
    """The name and color of every class number, from the sidecar."""
    table = json.loads(path.with_suffix(".classes.json").read_text(encoding="utf-8"))
    return {row["id"]: (row["name"], tuple(row["color"])) for row in table["classes"]}


def draw(
    xyz: np.ndarray,
    number: np.ndarray,
    classes: dict[int, tuple[str, tuple[int, int, int]]],
    pixels: int,
    radius_m: float | None,
) -> Image.Image:
    """A square picture of the points around the middle of the scan."""
    finite = np.isfinite(xyz).all(axis=1)
    xyz, number = xyz[finite], number[finite]
    middle = np.median(xyz[:, :2], axis=0)
    away = np.abs(xyz[:, :2] - middle).max(axis=1)
    half = radius_m or float(np.percentile(away, 97))
    near = away < half
    xyz, number = xyz[near], number[near]
    order = np.argsort(xyz[:, 2], kind="stable")
    column, row = ((xyz[order, :2] - middle + half) / (2 * half) * (pixels - 2)).astype(int).T
    colors = np.array([classes.get(n, ("", UNLABELED_INDEX))[1] for n in number[order]], np.uint8)
    canvas = np.full((pixels, pixels, 3), 18, np.uint8)
    for right, up in ((0, 0), (1, 0), (0, 1), (1, 1)):
        canvas[pixels - 1 - (row + up), column + right] = colors
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    counts = sorted(((int((number == n).sum()), n) for n in classes), reverse=True)
    for place, (count, n) in enumerate(counts[:14]):
        top = 12 + 22 * place
        pen.rectangle((12, top, 26, top + 14), fill=classes[n][1])
        pen.text((34, top), f"{classes[n][0]}  {count / len(number):.1%}", fill=(235, 235, 235))
    return picture


def main() -> None:
    """Draw one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path, help="a file that clip3d wrote")
    parser.add_argument("picture", type=Path, help="a PNG")
    parser.add_argument("--pixels", type=int, default=1000)
    parser.add_argument("--radius", type=float, help="half the width shown, metres")
    args = parser.parse_args()
    xyz, number = read_labelled(args.scan)
    draw(xyz, number, read_classes(args.scan), args.pixels, args.radius).save(args.picture)


if __name__ == "__main__":
    main()
