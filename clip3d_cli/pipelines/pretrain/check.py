"""Check before pretraining: how many points the images see, with pictures that show wrong poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.cameras import Occlusion, ProjectedPoints, project, remove_occluded
from clip3d_cli.core.scenes import PosedScene, View
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.images import read_depth, read_image
from clip3d_cli.datasets.sweeps import MergedSweeps, merge_sweeps, usable_mask
from clip3d_cli.errors import OutputError
from clip3d_cli.labelling.label import Progress, silent
from clip3d_cli.pipelines.pretrain.check_warnings import (
    Warnings,
    image_size_warnings,
    occlusion_warnings,
    projection_warnings,
    read_or_warn,
    time_offset_warnings,
)
from clip3d_cli.pipelines.pretrain.overlay import (
    Picture,
    contact_sheet,
    depth_colors,
    draw_points,
    with_class_legend,
    with_depth_legend,
    write_picture,
)

ClassIndex = npt.NDArray[np.int32]

_NO_CLASS_COLOR = (96, 100, 106)
_SHEET_COLUMNS = 3
# The depth colors span these percentiles, so that single far points do not use up all colors.
_DEPTH_PERCENTILES = (1, 99)


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How points are projected into images and tested for occlusion.

    Attributes:
        occlusion: test for hidden points.
        sweeps: number of scans of a scene that are merged, the key frame first.
        least_depth_m: least depth of a point in a camera, metres.
        margin_px: least distance of a point from the edge of the image, pixels.
        tolerance_m: largest distance of a visible point from the depth image, metres.
        pictures: largest number of pictures of a scene, spread evenly over its views.
    """

    occlusion: Occlusion = "auto"
    sweeps: int = 1
    least_depth_m: float = 1.0
    margin_px: float = 1.0
    tolerance_m: float = 0.05
    pictures: int = 12


@dataclass(frozen=True, slots=True)
class PointClasses:
    """Classes to color points by, instead of ground truth or depth.

    Attributes:
        vocabulary: names and colors of the classes.
        class_index: returns the class of each of P visible points, (P,) int32 with −1 for none,
            given a view, its (H, W, 3) uint8 image and the points.
    """

    vocabulary: Vocabulary
    class_index: Callable[[View, Picture, ProjectedPoints], ClassIndex]


@dataclass(frozen=True, slots=True)
class ViewCheck:
    """Result for one image.

    Attributes:
        image: image file.
        projected: number of points that project into the image, hidden ones included.
        visible: number of these points that pass the occlusion test.
        median_depth_m: median depth of the visible points, metres; None without any.
        picture: picture that was written; None if none was.
        warnings: what looks wrong, a sentence each.
    """

    image: Path
    projected: int
    visible: int
    median_depth_m: float | None
    picture: Path | None
    warnings: Warnings


@dataclass(frozen=True, slots=True)
class SceneCheck:
    """Result for all images of a scene.

    Attributes:
        name: name of the scene.
        points: number of points of the merged sweeps.
        visible: number of points that are visible in at least one image.
        views: result of every image.
        sheet: file with all pictures of the scene; None for fewer than two.
        warnings: what looks wrong with the scene as a whole, a sentence each.
    """

    name: str
    points: int
    visible: int
    views: tuple[ViewCheck, ...]
    sheet: Path | None
    warnings: Warnings

    @property
    def visible_share(self) -> float:
        """Share of points that are visible in at least one image, 0 … 1."""
        return self.visible / self.points if self.points else 0.0


def check_scenes(
    dataset: Dataset,
    scenes: Sequence[PosedScene],
    folder: Path,
    options: CheckOptions | None = None,
    *,
    classes: PointClasses | None = None,
    progress: Progress = silent,
) -> list[SceneCheck]:
    """Project the points of every scene into its images, and write pictures of the result.

    A picture is the photo with its visible points, colored by ``classes``, otherwise by their
    ground truth, otherwise by their depth. Missing or broken images give a warning.

    Args:
        dataset: reads clouds and ground truth.
        scenes: scenes of the data set.
        folder: folder for ``<scene>/<view>.jpg``, and ``<scene>.jpg`` with all of them; it is
            created if it does not exist.
        options: projection, occlusion test and number of pictures.
        classes: classes to color points by.
        progress: wraps the scenes.

    Raises:
        InputError: a cloud or its ground truth cannot be read.
        OutputError: a picture cannot be written.
    """
    checker = _Checker(dataset, options or CheckOptions(), folder, classes)
    return [checker.check_scene(scene) for scene in progress(scenes, "scenes")]


@dataclass(frozen=True, slots=True)
class _Checker:
    """A check with the arguments of `check_scenes`."""

    dataset: Dataset
    options: CheckOptions
    folder: Path
    classes: PointClasses | None

    def check_scene(self, scene: PosedScene) -> SceneCheck:
        swept = merge_sweeps(self.dataset, scene.sweeps[: self.options.sweeps])
        truth = None if self.classes else _truth_of_points(self.dataset, scene, swept)
        count = len(scene.views)
        drawn = np.linspace(0, count - 1, min(count, self.options.pictures)).round()
        is_visible = np.zeros(len(swept.cloud), dtype=np.bool_)
        views: list[ViewCheck] = []
        pictures: list[Picture] = []
        for number, view in enumerate(scene.views):
            projected, check = self._check_view(view, swept.cloud.xyz)
            is_visible[projected.point_index] = True
            warnings = check.warnings + time_offset_warnings(scene, view)
            picture, path = None, self.folder / scene.name / f"{number:04d}_{view.image.stem}.jpg"
            if number in drawn:
                picture, faults = read_or_warn(partial(self._draw, view, projected, truth))
                warnings += faults
            if picture is not None:
                _write(picture, path)
                pictures.append(picture)
                check = replace(check, picture=path)
            # The same missing image is noticed by its size and when it is drawn.
            views.append(replace(check, warnings=tuple(dict.fromkeys(warnings))))
        visible_points = int(is_visible.sum())
        return SceneCheck(
            name=scene.name,
            points=len(swept.cloud),
            visible=visible_points,
            views=tuple(views),
            sheet=self._write_sheet(scene.name, pictures),
            warnings=_scene_warnings(views, visible_points),
        )

    def _check_view(
        self, view: View, xyz: npt.NDArray[np.float64]
    ) -> tuple[ProjectedPoints, ViewCheck]:
        """Return the visible points of a view, and its result without a picture."""
        options = self.options
        projected = project(
            view, xyz, least_depth_m=options.least_depth_m, margin_px=options.margin_px
        )
        depth: npt.NDArray[np.float32] | None = None
        depth_warnings: Warnings = ()
        occlusion = options.occlusion
        if view.depth is not None and occlusion in ("auto", "depth"):
            depth, depth_warnings = read_or_warn(partial(read_depth, view.depth, view.depth_unit_m))
            # Without its depth image a view is tested by its points.
            occlusion = "points" if depth is None else "depth"
        kept = remove_occluded(
            projected, view, occlusion, depth=depth, tolerance_m=options.tolerance_m
        )
        warnings = (
            *image_size_warnings(view),
            *depth_warnings,
            *projection_warnings(view, xyz, projected, options.least_depth_m),
            *occlusion_warnings(projected, kept, depth is not None),
        )
        median_m = float(np.median(kept.depth_m)) if len(kept) else None
        return kept, ViewCheck(view.image, len(projected), len(kept), median_m, None, warnings)

    def _draw(self, view: View, projected: ProjectedPoints, truth: ClassIndex | None) -> Picture:
        """Return the photo with its visible points, and a legend below.

        Raises:
            InputError: the photo is missing or broken.
        """
        image = read_image(view.image)
        # The photo may be a scaled version of what the intrinsics describe. Pixel centres are at
        # whole numbers, so the scaling is about the corner at (−0.5, −0.5).
        scale = np.array(image.shape[1::-1]) / np.array(view.size)
        uv = (projected.uv + 0.5) * scale - 0.5
        if self.classes is not None:
            class_index = self.classes.class_index(view, image, projected)
            vocabulary = self.classes.vocabulary
            return _colored_by_class(image, uv, projected.depth_m, class_index, vocabulary)
        if truth is not None and self.dataset.vocabulary is not None:
            class_index = truth[projected.point_index]
            vocabulary = self.dataset.vocabulary
            return _colored_by_class(image, uv, projected.depth_m, class_index, vocabulary)
        return _colored_by_depth(image, uv, projected.depth_m)

    def _write_sheet(self, name: str, pictures: Sequence[Picture]) -> Path | None:
        if len(pictures) < 2:
            return None
        path = self.folder / f"{name}.jpg"
        _write(contact_sheet(pictures, columns=min(len(pictures), _SHEET_COLUMNS)), path)
        return path


def _truth_of_points(dataset: Dataset, scene: PosedScene, swept: MergedSweeps) -> ClassIndex | None:
    """Return the ground truth of the points of all sweeps, (N,); −1 but for the key frame."""
    labels = dataset.ground_truth(scene)
    if labels is None:
        return None
    truth = np.full(len(swept.cloud), -1, dtype=np.int32)
    # Labels are given for all points of the file, the swept cloud has only the usable ones.
    usable = usable_mask(dataset, dataset.cloud(scene.sweeps[0]))
    truth[swept.sweep_of_point == 0] = labels[usable]
    return truth


def _colored_by_class(
    image: Picture,
    uv: npt.NDArray[np.float64],
    depth_m: npt.NDArray[np.float64],
    class_index: ClassIndex,
    vocabulary: Vocabulary,
) -> Picture:
    classes = vocabulary.classes
    # Index −1, no class, takes the last color.
    colors = np.array([*(entry.color for entry in classes), _NO_CLASS_COLOR], dtype=np.uint8)
    drawn = draw_points(image, uv, colors[class_index], depth_m)
    counts = np.bincount(class_index[class_index >= 0], minlength=len(classes))
    # The legend has the classes that occur, the most frequent first.
    shown = [index for index in np.argsort(-counts, kind="stable") if counts[index]]
    return with_class_legend(drawn, [(classes[k].name, classes[k].color) for k in shown])


def _colored_by_depth(
    image: Picture, uv: npt.NDArray[np.float64], depth_m: npt.NDArray[np.float64]
) -> Picture:
    if not len(depth_m):
        return draw_points(image, uv, np.zeros((0, 3), dtype=np.uint8), depth_m)
    near_m, far_m = (float(value) for value in np.percentile(depth_m, _DEPTH_PERCENTILES))
    drawn = draw_points(image, uv, depth_colors(depth_m, near_m, far_m), depth_m)
    return with_depth_legend(drawn, near_m, far_m)


def _scene_warnings(views: Sequence[ViewCheck], visible_points: int) -> Warnings:
    if not views:
        return ("it has no images",)
    return () if visible_points else ("no image sees any of its points",)


def _write(picture: Picture, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = f"cannot be created: {error.strerror or error}"
        raise OutputError("E_NOT_WRITABLE", path.parent, fault, "Choose another -o.") from error
    write_picture(picture, path)
