"""``clip3d pretrain --check``: pictures and figures of which points the images see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clip3d_cli import __version__
from clip3d_cli.cli.errors import SOME_FAILED
from clip3d_cli.cli.terminal import Reporter, count_of, print_json, print_table, stderr_console
from clip3d_cli.pipelines.pretrain.check import CheckOptions, SceneCheck, ViewCheck, check_scenes
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.run import open_scenes

SCHEMA = "clip3d.pretrain-check/1"
_MAX_VIEWS_SHOWN = 12


def run_check(config: PretrainConfig, folder: Path, reporter: Reporter, *, as_json: bool) -> int:
    """Draw the visible points of scenes over their images, and print their shares.

    Args:
        config: which scenes, and how points are projected.
        folder: folder for the pictures; it is created if missing.
        reporter: prints the tables.
        as_json: print a JSON document on stdout.

    Returns:
        Exit code: 0; 3 if some scenes are not seen by any image; 1 if none is.

    Raises:
        Clip3DError: scenes or clouds cannot be read, or pictures cannot be written.
    """
    dataset, scenes = open_scenes(config)
    options = CheckOptions(
        occlusion=config.batch.occlusion,
        sweeps=config.batch.sweeps,
        least_depth_m=config.batch.least_depth_m,
        tolerance_m=config.batch.tolerance_m,
    )
    checks = check_scenes(dataset, scenes, folder, options, progress=reporter.progress)
    if not reporter.quiet:
        for each in checks:
            _print_scene(each, reporter)
        reporter.info(f"look at the pictures in {folder}: every color must lie on its object")
    if as_json:
        print_json(
            {
                "schema": SCHEMA,
                "clip3d": __version__,
                "folder": str(folder),
                "scenes": [_scene_entry(each) for each in checks],
            }
        )
    unseen = sum(not each.visible for each in checks)
    if not unseen:
        return 0
    return SOME_FAILED if unseen < len(checks) else 1


def _print_scene(scene: SceneCheck, reporter: Reporter) -> None:
    share = f"{scene.visible_share:.1%} of {scene.points:,} points are visible"
    reporter.info(f"{scene.name}: {share} in {count_of(len(scene.views), 'image')}")
    rows = [_row(view) for view in scene.views[:_MAX_VIEWS_SHOWN]]
    columns = ("image", "points inside", "visible", "median depth", "warnings")
    if rows:
        print_table(stderr_console(), columns, rows, numbers=4)
    if len(scene.views) > len(rows):
        reporter.info(f"and {count_of(len(scene.views) - len(rows), 'more image')}")
    for warning in scene.warnings:
        reporter.warning(scene.name, warning)
    _print_view_warnings(scene.views, reporter)


def _print_view_warnings(views: Sequence[ViewCheck], reporter: Reporter) -> None:
    """Print every warning once, with the first image that it is about and how many more."""
    images_of_warning: dict[str, list[str]] = {}
    for view in views:
        for warning in view.warnings:
            images_of_warning.setdefault(warning, []).append(str(view.image))
    for warning, images in images_of_warning.items():
        more = f" and {count_of(len(images) - 1, 'more image')}" if len(images) > 1 else ""
        reporter.warning(f"{images[0]}{more}", warning)


def _row(view: ViewCheck) -> tuple[str, ...]:
    depth = "" if view.median_depth_m is None else f"{view.median_depth_m:.1f} m"
    warnings = str(len(view.warnings)) if view.warnings else ""
    return view.image.name, f"{view.projected:,}", f"{view.visible:,}", depth, warnings


def _scene_entry(scene: SceneCheck) -> dict[str, object]:
    return {
        "name": scene.name,
        "points": scene.points,
        "seen": scene.visible,
        "seen_share": round(scene.visible_share, 6),
        "sheet": None if scene.sheet is None else str(scene.sheet),
        "warnings": list(scene.warnings),
        "views": [
            {
                "image": str(view.image),
                "inside": view.projected,
                "visible": view.visible,
                "median_depth_m": view.median_depth_m,
                "picture": None if view.picture is None else str(view.picture),
                "warnings": list(view.warnings),
            }
            for view in scene.views
        ],
    }
