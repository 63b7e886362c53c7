"""``clip3d pretrain --check``: pictures and figures of what the images of scenes see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clip3d_cli import __version__
from clip3d_cli.commands.door import SOME_FAILED
from clip3d_cli.commands.terminal import Voice, counted, give_json, print_table, stderr_console
from clip3d_cli.pipelines.pretrain.check import CheckOptions, SceneCheck, ViewCheck, check_scenes
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.run import open_scenes

SCHEMA = "clip3d.pretrain-check/1"
_SHOWN_VIEWS = 12


def check(config: PretrainConfig, folder: Path, voice: Voice, *, as_json: bool) -> int:
    """Draw what images see into a folder, and say it.

    Returns:
        0; 3 when some of the scenes are not seen by any image; 1 when none is.

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
    checks = check_scenes(dataset, scenes, folder, options, progress=voice.progress)
    if not voice.quiet:
        for each in checks:
            _show(each, voice)
        voice.note(f"look at the pictures in {folder}: every color must lie on its thing")
    if as_json:
        give_json(
            {
                "schema": SCHEMA,
                "clip3d": __version__,
                "folder": str(folder),
                "scenes": [_scene_entry(each) for each in checks],
            }
        )
    unseen = sum(not each.seen for each in checks)
    if not unseen:
        return 0
    return SOME_FAILED if unseen < len(checks) else 1


def _show(scene: SceneCheck, voice: Voice) -> None:
    share = f"{scene.seen_share:.1%} of {scene.points:,} points are seen"
    voice.note(f"{scene.name}: {share} by {counted(len(scene.views), 'image')}")
    rows = [_row(view) for view in scene.views[:_SHOWN_VIEWS]]
    columns = ("image", "points inside", "visible", "median depth", "warnings")
    if rows:
        print_table(stderr_console(), columns, rows, numbers=4)
    if len(scene.views) > len(rows):
        voice.note(f"and {counted(len(scene.views) - len(rows), 'more image')}")
    for warning in scene.warnings:
        voice.warn(scene.name, warning)
    _show_warnings(scene.views, voice)


def _show_warnings(views: Sequence[ViewCheck], voice: Voice) -> None:
    """Say every warning once, with the images that it is about."""
    images: dict[str, list[str]] = {}
    for view in views:
        for warning in view.warnings:
            images.setdefault(warning, []).append(str(view.image))
    for warning, found in images.items():
        more = f" and {counted(len(found) - 1, 'more image')}" if len(found) > 1 else ""
        voice.warn(f"{found[0]}{more}", warning)


def _row(view: ViewCheck) -> tuple[str, ...]:
    depth = "" if view.median_depth_m is None else f"{view.median_depth_m:.1f} m"
    warned = str(len(view.warnings)) if view.warnings else ""
    return view.image.name, f"{view.inside:,}", f"{view.visible:,}", depth, warned


def _scene_entry(scene: SceneCheck) -> dict[str, object]:
    return {
        "name": scene.name,
        "points": scene.points,
        "seen": scene.seen,
        "seen_share": round(scene.seen_share, 6),
        "sheet": None if scene.sheet is None else str(scene.sheet),
        "warnings": list(scene.warnings),
        "views": [
            {
                "image": str(view.image),
                "inside": view.inside,
                "visible": view.visible,
                "median_depth_m": view.median_depth_m,
                "picture": None if view.picture is None else str(view.picture),
                "warnings": list(view.warnings),
            }
            for view in scene.views
        ],
    }
