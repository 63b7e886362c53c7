"""``clip3d pretrain --check``: pictures of what images see, and nothing trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from command_line import CommandLine
from posed_camera import camera_entry, write_json
from small_runs import write_scenes


def test_a_check_draws_pictures(
    clip3d: CommandLine, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clip3d_cli.pipelines.pretrain.run.prepare_targets", None)
    arguments = ("pretrain", "--dataset", "folder", "--root", scenes, "--check", "--json")
    said = clip3d(*arguments)
    assert said.code == 0, said.err
    document = said.document
    assert document["schema"] == "clip3d.pretrain-check/1"
    assert [scene["name"] for scene in document["scenes"]] == ["barn", "yard"]
    for scene in document["scenes"]:
        assert 0 < scene["seen"] < scene["points"] == 600
        assert f"{scene['name']}: {scene['seen_share']:.1%} of 600 points are visible" in said.err
        (view,) = scene["views"]
        assert Path(view["picture"]).is_relative_to("clip3d-check")
        assert (tmp_path / view["picture"]).stat().st_size > 0
    said = clip3d(*arguments, "--limit", "1", "--split", "val", "-o", "seen")
    assert [scene["name"] for scene in said.document["scenes"]] == ["hall"]
    assert (tmp_path / "seen" / "hall").is_dir()


def test_a_check_looks_at_a_few_scenes(
    clip3d: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[int] = []
    monkeypatch.setattr(
        "clip3d_cli.cli.pretrain_check.run_check",
        lambda config, *_, **__: limits.append(config.data.limit) or 0,
    )
    for more in ((), ("--limit", "7")):
        assert clip3d("pretrain", "--dataset", "folder", "--root", ".", "--check", *more).code == 0
    assert limits == [3, 7]


def test_a_check_fails_where_nothing_is_seen(clip3d: CommandLine, tmp_path: Path) -> None:
    root = write_scenes(tmp_path / "scenes")
    for scene, code in (("barn", 3), ("yard", 1)):
        away = camera_entry("images/a.png", world_from_camera=turned_away().tolist())
        write_json(root / scene / "cameras.json", {"cameras": [away, away]})
        said = clip3d("pretrain", "--dataset", "folder", "--root", root, "--check")
        assert said.code == code
        assert f"warning: {scene}: no image sees any of its points" in said.err
        assert "and 1 more image" in said.err


def turned_away() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = [[-1, 0, 0], [0, 0, -1], [0, -1, 0]]
    return pose
