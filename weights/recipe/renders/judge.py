"""Judge an image-text model on rendered scenes: its pixels, and what it would teach points.

python -m weights.recipe.renders.judge --teacher teacher --scenes scenes --split val
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from clip3d_cli.core.cameras import project, visible
from clip3d_cli.core.scenes import PosedScene, moved
from clip3d_cli.core.vocabulary import ClassEmbeddings
from clip3d_cli.datasets.folder.dataset import Folder
from clip3d_cli.teachers.openclip import OpenClipTeacher
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from weights.recipe.renders.classes import SKY

Ints = NDArray[np.int64]


class Judge:
    """Counts truth against answers, of pixels and of points."""

    def __init__(self, dataset: Folder, teacher: OpenClipTeacher) -> None:
        if dataset.vocabulary is None:
            raise SystemExit("The scenes have no vocabulary.toml.")
        self._dataset, self._teacher = dataset, teacher
        self._classes = embed_vocabulary(
            dataset.vocabulary, MiniTextEncoder(), ["a photo of a {}."]
        )
        self.names = [entry.name for entry in dataset.vocabulary.classes]
        count = len(self.names)
        self.pixels = np.zeros((count, count), dtype=np.int64)
        self.points = np.zeros((count, count), dtype=np.int64)
        self.seen, self.total = 0, 0

    def look(self, scene: PosedScene) -> None:
        """Count one scene."""
        key = scene.sweeps[0]
        cloud, truth = self._dataset.cloud(key), self._dataset.ground_truth(scene)
        if truth is None:
            raise SystemExit(f"{scene.name} has no labels.npy.")
        xyz = moved(key.world_from_sensor, cloud.xyz)
        seen = np.zeros(len(xyz), dtype=np.bool_)
        for view in scene.views:
            image = np.asarray(Image.open(view.image))
            answer = _pixel_classes(self._teacher(image), self._classes, image.shape[:2])
            self._count_pixels(view.image, answer)
            found = visible(project(view, xyz), view)
            row, column = found.pixels(view.size, view.size).T
            known = truth[found.point_index] >= 0
            pairs = (truth[found.point_index], answer[row, column])
            np.add.at(self.points, (pairs[0][known], pairs[1][known]), 1)
            seen[found.point_index] = True
        self.seen += int(seen.sum())
        self.total += len(seen)

    def _count_pixels(self, image: Path, answer: Ints) -> None:
        path = image.parent.parent / "pixels" / f"{image.stem}.png"
        if not path.is_file():
            return
        shown = np.asarray(Image.open(path))
        # The sky is no class of the points: what is said of it harms nobody.
        known = (shown != SKY) & (shown > 0)
        np.add.at(self.pixels, (shown[known].astype(np.int64) - 1, answer[known]), 1)


def _pixel_classes(
    features: NDArray[np.float32], classes: ClassEmbeddings, size: Sequence[int]
) -> Ints:
    """(H, W) the class whose nearest word is nearest to every pixel's vector.

    Cosines are interpolated bilinearly, which orders classes as interpolated vectors would.
    """
    cosines = torch.from_numpy(features @ classes.vectors.T).permute(2, 0, 1)[None]
    fine = functional.interpolate(cosines, size=tuple(size), mode="bilinear", align_corners=False)
    return np.asarray(classes.class_of_vector[fine[0].argmax(dim=0).numpy()], dtype=np.int64)


def scores(counts: Ints) -> tuple[float, float, NDArray[np.float64]]:
    """Accuracy, mean IoU over the classes that occur, and each class's IoU (NaN if none)."""
    hit = np.diag(counts).astype(np.float64)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hit
    iou = np.where(counts.sum(axis=1) > 0, hit / np.maximum(union, 1), np.nan)
    return float(hit.sum() / max(counts.sum(), 1)), float(np.nanmean(iou)), iou


def main() -> None:
    """Print accuracy and IoU of pixels and of the points that cameras see."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--variant", default="value")
    parser.add_argument("--image-px", type=int)
    parser.add_argument("--most", type=int, default=1000, help="scenes at most")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Folder(args.scenes)
    teacher = OpenClipTeacher(str(args.teacher), variant=args.variant, image_px=args.image_px)
    judge = Judge(dataset, teacher)
    for scene in dataset.scenes(args.split)[: args.most]:
        judge.look(scene)
    tables = {"pixels": judge.pixels, "points": judge.points}
    for name, counts in tables.items():
        accuracy, mean, iou = scores(counts)
        each = "  ".join(f"{n} {100 * v:.1f}" for n, v in zip(judge.names, iou, strict=True))
        print(f"{name}: accuracy {100 * accuracy:.1f} %, mIoU {100 * mean:.1f} %\n  {each}")
    print(f"points seen: {100 * judge.seen / max(judge.total, 1):.1f} %")


if __name__ == "__main__":
    main()
