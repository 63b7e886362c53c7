"""Evaluate an image-text model on rendered scenes: its pixels, and the labels it gives points.

python -m weights.recipe.renders.evaluate --teacher teacher --scenes scenes --split val

It takes a few seconds per scene.
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

from clip3d_cli.core.cameras import project, remove_occluded
from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.scenes import PosedScene, transform_points
from clip3d_cli.datasets.folder.dataset import Folder
from clip3d_cli.teachers.openclip import OpenClipTeacher
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from weights.recipe.renders.classes import SKY

Ints = NDArray[np.int64]


class TeacherEvaluation:
    """Confusion counts of a teacher on pixels and on points.

    Attributes:
        names: names of the K classes.
        pixels: (K, K) pixels by class (row) and predicted class (column); the sky is left out.
        points: (K, K) points that a camera sees, by class and predicted class.
        seen: number of points that a camera sees.
        total: number of all points.
    """

    def __init__(self, dataset: Folder, teacher: OpenClipTeacher) -> None:
        """Start with no counts.

        Args:
            dataset: rendered scenes; must have a vocabulary.
            teacher: the model.
        """
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

    def add(self, scene: PosedScene) -> None:
        """Count the pixels of all views of a scene, and the points of its key frame."""
        key_frame = scene.sweeps[0]
        cloud, ground_truth = self._dataset.cloud(key_frame), self._dataset.ground_truth(scene)
        if ground_truth is None:
            raise SystemExit(f"{scene.name} has no labels.npy.")
        xyz = transform_points(key_frame.world_from_sensor, cloud.xyz)
        seen = np.zeros(len(xyz), dtype=np.bool_)
        for view in scene.views:
            image = np.asarray(Image.open(view.image))
            predicted = _pixel_classes(self._teacher(image), self._classes, image.shape[:2])
            self._count_pixels(view.image, predicted)
            # Points that the view shows: their pixels and their ground truth, (P,) each.
            shown = remove_occluded(project(view, xyz), view)
            row, column = shown.pixels(view.size, view.size).T
            truth = ground_truth[shown.point_index]
            known = truth >= 0
            np.add.at(self.points, (truth[known], predicted[row, column][known]), 1)
            seen[shown.point_index] = True
        self.seen += int(seen.sum())
        self.total += len(seen)

    def _count_pixels(self, image: Path, predicted: Ints) -> None:
        path = image.parent.parent / "pixels" / f"{image.stem}.png"
        if not path.is_file():
            return
        class_id = np.asarray(Image.open(path))
        # No point is sky, so predictions there do not matter.
        known = (class_id != SKY) & (class_id > 0)
        np.add.at(self.pixels, (class_id[known].astype(np.int64) - 1, predicted[known]), 1)


def _pixel_classes(
    features: NDArray[np.float32], classes: ClassEmbeddings, size: Sequence[int]
) -> Ints:
    """Return (H, W) the class with the word nearest to each pixel's vector.

    Similarities are interpolated bilinearly, which ranks classes as interpolated vectors would.

    Args:
        features: (h, w, D) unit vectors.
        classes: W word vectors.
        size: H and W.
    """
    similarity = torch.from_numpy(features @ classes.vectors.T).permute(2, 0, 1)[None]
    fine = functional.interpolate(
        similarity, size=tuple(size), mode="bilinear", align_corners=False
    )
    return np.asarray(classes.class_of_vector[fine[0].argmax(dim=0).numpy()], dtype=np.int64)


def scores(counts: Ints) -> tuple[float, float, NDArray[np.float64]]:
    """Return accuracy, mean IoU over the classes that occur, and (K,) IoU, NaN where none occurs.

    Args:
        counts: (K, K) by class (row) and predicted class (column).
    """
    hits = np.diag(counts).astype(np.float64)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hits
    iou = np.where(counts.sum(axis=1) > 0, hits / np.maximum(union, 1), np.nan)
    return float(hits.sum() / max(counts.sum(), 1)), float(np.nanmean(iou)), iou


def main() -> None:
    """Print accuracy and IoU of pixels and of the points that cameras see."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the model")
    parser.add_argument("--scenes", type=Path, required=True, help="folder of rendered scenes")
    parser.add_argument("--split", default="val", help="split to evaluate (default: val)")
    parser.add_argument("--variant", default="value", help="how patch vectors are read")
    parser.add_argument("--image-px", type=int, help="side at which the teacher reads images")
    parser.add_argument("--most", type=int, default=1000, help="highest number of scenes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset = Folder(args.scenes)
    teacher = OpenClipTeacher(str(args.teacher), variant=args.variant, image_px=args.image_px)
    evaluation = TeacherEvaluation(dataset, teacher)
    for scene in dataset.scenes(args.split)[: args.most]:
        evaluation.add(scene)
    for name, counts in {"pixels": evaluation.pixels, "points": evaluation.points}.items():
        accuracy, mean_iou, iou = scores(counts)
        classes = "  ".join(
            f"{class_name} {100 * value:.1f}"
            for class_name, value in zip(evaluation.names, iou, strict=True)
        )
        print(f"{name}: accuracy {100 * accuracy:.1f} %, mIoU {100 * mean_iou:.1f} %\n  {classes}")
    print(f"points seen: {100 * evaluation.seen / max(evaluation.total, 1):.1f} %")


if __name__ == "__main__":
    main()
