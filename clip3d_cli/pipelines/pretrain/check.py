"""A look before the training: what share of points the images see, and whether poses are right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.cameras import Occlusion, Sightings, project, visible
from clip3d_cli.core.scenes import PosedScene, View
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.images import read_depth, read_image
from clip3d_cli.datasets.sweeps import MergedSweeps, merge_sweeps, usable_mask
from clip3d_cli.errors import OutputError
from clip3d_cli.labelling.label import Progress, silent
from clip3d_cli.pipelines.pretrain.check_warnings import (
    Warnings,
    mostly_hidden,
    taken_late,
    tried,
    wrong_aim,
    wrong_size,
)
from clip3d_cli.pipelines.pretrain.overlay import (
    Picture,
    contact_sheet,
    depth_colors,
    overlay,
    with_class_legend,
    with_depth_legend,
    write_picture,
)

ClassIndex = npt.NDArray[np.int32]

_NOT_JUDGED = (96, 100, 106)
_SHEET_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How points are looked for in images.

    Attributes:
        occlusion: the test of who is hidden.
        sweeps: scans of a scene that are put together, the key frame first.
        least_depth_m: nearer points are not looked at, metres.
        margin_px: so far inside the image's edge a point must lie, px.
        tolerance_m: how far a point may lie from the depth image, metres.
        pictures: the most pictures of a scene, spread over its views.
    """

    occlusion: Occlusion = "auto"
    sweeps: int = 1
    least_depth_m: float = 1.0
    margin_px: float = 1.0
    tolerance_m: float = 0.05
    pictures: int = 12


@dataclass(frozen=True, slots=True)
class Painting:
    """Classes to draw instead of depth or truth.

    Attributes:
        vocabulary: names and colors.
        class_index: given a view, its (H, W, 3) image and P sightings, (P,) int32, −1 = none.
    """

    vocabulary: Vocabulary
    class_index: Callable[[View, Picture, Sightings], ClassIndex]


@dataclass(frozen=True, slots=True)
class ViewCheck:
    """What one image sees.

    Attributes:
        image: the file.
        inside: points that fall into the image, hidden ones included.
        visible: those that nothing hides.
        median_depth_m: of the visible ones, metres; None without any.
        picture: the overlay that was written, or None.
        warnings: what looks wrong, a sentence each.
    """

    image: Path
    inside: int
    visible: int
    median_depth_m: float | None
    picture: Path | None
    warnings: Warnings


@dataclass(frozen=True, slots=True)
class SceneCheck:
    """What all images of a scene see together.

    Attributes:
        name: of the scene.
        points: of the sweeps that were put together.
        seen: points that at least one image sees.
        views: one entry per image.
        sheet: all pictures on one, or None.
        warnings: what looks wrong with the scene as a whole.
    """

    name: str
    points: int
    seen: int
    views: tuple[ViewCheck, ...]
    sheet: Path | None
    warnings: Warnings

    @property
    def seen_share(self) -> float:
        """The share of points that at least one image sees, 0…1."""
        return self.seen / self.points if self.points else 0.0


def check_scenes(
    dataset: Dataset,
    scenes: Sequence[PosedScene],
    folder: Path,
    options: CheckOptions | None = None,
    *,
    painting: Painting | None = None,
    progress: Progress = silent,
) -> list[SceneCheck]:
    """What the images of every scene see, with pictures of it in a folder.

    A picture is the photo with its visible points in the colors of ``painting``, else of the
    truth, else of their depth. Images that are missing or broken are warned of, clouds are not.

    Args:
        dataset: reads clouds and truth.
        scenes: of the data set.
        folder: made if need be; gets ``<scene>/<view>.jpg``, and ``<scene>.jpg`` of them all.
        options: the occlusion test, and how many pictures.
        painting: what to color points by.
        progress: wraps the scenes.

    Raises:
        InputError: a cloud or its truth cannot be read.
        OutputError: a picture cannot be written.
    """
    look = _Look(dataset, options or CheckOptions(), folder, painting)
    return [look.scene(scene) for scene in progress(scenes, "scenes")]


@dataclass(frozen=True, slots=True)
class _Look:
    """One check of some scenes: all that stays the same from view to view."""

    dataset: Dataset
    options: CheckOptions
    folder: Path
    painting: Painting | None

    def scene(self, scene: PosedScene) -> SceneCheck:
        swept = merge_sweeps(self.dataset, scene.sweeps[: self.options.sweeps])
        truth = None if self.painting else _truth_of_points(self.dataset, scene, swept)
        count = len(scene.views)
        drawn = np.linspace(0, count - 1, min(count, self.options.pictures)).round()
        seen = np.zeros(len(swept.cloud), dtype=np.bool_)
        views: list[ViewCheck] = []
        pictures: list[Picture] = []
        for number, view in enumerate(scene.views):
            kept, check = self.sight(view, swept.cloud.xyz)
            seen[kept.point_index] = True
            warnings = check.warnings + taken_late(scene, view)
            picture, path = None, self.folder / scene.name / f"{number:04d}_{view.image.stem}.jpg"
            if number in drawn:
                picture, faults = tried(partial(self.picture, view, kept, truth))
                warnings += faults
            if picture is not None:
                _write(picture, path)
                pictures.append(picture)
                check = replace(check, picture=path)
            # A missing image is found when it is measured, and again when it is drawn.
            views.append(replace(check, warnings=tuple(dict.fromkeys(warnings))))
        sheet = self._sheet(scene.name, pictures)
        total = int(seen.sum())
        return SceneCheck(
            scene.name, len(swept.cloud), total, tuple(views), sheet, _overall(views, total)
        )

    def sight(self, view: View, xyz: npt.NDArray[np.float64]) -> tuple[Sightings, ViewCheck]:
        """The visible points of a view, and what it sees, still without a picture."""
        options = self.options
        inside = project(
            view, xyz, least_depth_m=options.least_depth_m, margin_px=options.margin_px
        )
        depth: npt.NDArray[np.float32] | None = None
        no_depth: Warnings = ()
        occlusion = options.occlusion
        if view.depth is not None and occlusion in ("auto", "depth"):
            depth, no_depth = tried(partial(read_depth, view.depth, view.depth_unit_m))
            occlusion = "points" if depth is None else "depth"
        kept = visible(inside, view, occlusion, depth=depth, tolerance_m=options.tolerance_m)
        warnings = (
            *wrong_size(view),
            *no_depth,
            *wrong_aim(view, xyz, inside, options.least_depth_m),
            *mostly_hidden(inside, kept, depth is not None),
        )
        median_m = float(np.median(kept.depth_m)) if len(kept) else None
        return kept, ViewCheck(view.image, len(inside), len(kept), median_m, None, warnings)

    def picture(self, view: View, kept: Sightings, truth: ClassIndex | None) -> Picture:
        """The photo with its points, and a legend below.

        Raises:
            InputError: there is no such photo, or it is broken.
        """
        image = read_image(view.image)
        scale = np.array(image.shape[1::-1]) / np.array(view.size)
        uv = (kept.uv + 0.5) * scale - 0.5
        painting = self.painting
        if painting is not None:
            class_index = painting.class_index(view, image, kept)
            return _by_class(image, uv, kept.depth_m, class_index, painting.vocabulary)
        vocabulary = self.dataset.vocabulary
        if truth is not None and vocabulary is not None:
            return _by_class(image, uv, kept.depth_m, truth[kept.point_index], vocabulary)
        return _by_depth(image, uv, kept.depth_m)

    def _sheet(self, name: str, pictures: Sequence[Picture]) -> Path | None:
        if len(pictures) < 2:
            return None
        path = self.folder / f"{name}.jpg"
        _write(contact_sheet(pictures, columns=min(len(pictures), _SHEET_COLUMNS)), path)
        return path


def _truth_of_points(dataset: Dataset, scene: PosedScene, swept: MergedSweeps) -> ClassIndex | None:
    """(N,) classes of the points of all sweeps; −1 but for the first sweep."""
    labels = dataset.ground_truth(scene)
    if labels is None:
        return None
    truth = np.full(len(swept.cloud), -1, dtype=np.int32)
    truth[swept.sweep_of_point == 0] = labels[usable_mask(dataset, dataset.cloud(scene.sweeps[0]))]
    return truth


def _by_class(
    image: Picture,
    uv: npt.NDArray[np.float64],
    depth_m: npt.NDArray[np.float64],
    class_index: ClassIndex,
    vocabulary: Vocabulary,
) -> Picture:
    classes = vocabulary.classes
    # Place −1 is the last one.
    colors = np.array([*(entry.color for entry in classes), _NOT_JUDGED], dtype=np.uint8)
    drawn = overlay(image, uv, colors[class_index], depth_m)
    counts = np.bincount(class_index[class_index >= 0], minlength=len(classes))
    shown = [place for place in np.argsort(-counts, kind="stable") if counts[place]]
    return with_class_legend(drawn, [(classes[k].name, classes[k].color) for k in shown])


def _by_depth(
    image: Picture, uv: npt.NDArray[np.float64], depth_m: npt.NDArray[np.float64]
) -> Picture:
    if not len(depth_m):
        return overlay(image, uv, np.zeros((0, 3), dtype=np.uint8), depth_m)
    least_m, most_m = (float(value) for value in np.percentile(depth_m, (1, 99)))
    drawn = overlay(image, uv, depth_colors(depth_m, least_m, most_m), depth_m)
    return with_depth_legend(drawn, least_m, most_m)


def _overall(views: Sequence[ViewCheck], seen: int) -> Warnings:
    if not views:
        return ("it has no images",)
    return () if seen else ("no image sees any of its points",)


def _write(picture: Picture, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = f"cannot be made: {error.strerror or error}"
        raise OutputError("E_NOT_WRITABLE", path.parent, fault, "Choose another -o.") from error
    write_picture(picture, path)
