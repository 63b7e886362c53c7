"""ScanNet200: ground truth from raw categories, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets_trees_scannet import EXPORTED, write_mesh
from datasets_trees_scannet200 import POINTS, TABLE, table_rows, write_annotations, write_tree

from clip3d_cli.datasets.scannet.dataset import ScanNet
from clip3d_cli.datasets.scannet.scannet200 import ScanNet200
from clip3d_cli.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tree(tmp_path)
    return tmp_path


def truth_names(root: Path) -> list[str]:
    """What ten vertices of a segment are, for all six segments of the exported scan."""
    scannet = ScanNet200(root)
    scene = next(scene for scene in scannet.scenes("all") if scene.name == EXPORTED)
    truth = scannet.ground_truth(scene)
    assert truth is not None and truth.shape == (POINTS,)
    assert np.array_equal(truth, np.repeat(truth[::10], 10))
    classes = scannet.vocabulary.classes
    return ["" if index < 0 else classes[index].name for index in truth[::10]]


def test_truth_goes_by_raw_category_and_the_last_object_wins(root: Path) -> None:
    assert truth_names(root) == ["wall", "lamp", "mattress", "", "", ""]


def test_a_later_object_that_is_not_judged_wins_too(root: Path) -> None:
    write_annotations(root, EXPORTED, [("wall", [7, 3]), ("grab bar", [3])])
    assert truth_names(root)[:2] == ["wall", ""]


@pytest.mark.parametrize("ends", ["\r\n", "\r\r\n"])
def test_the_table_may_have_other_line_ends_or_lie_among_the_tasks(root: Path, ends: str) -> None:
    (root / "tasks").mkdir()
    (root / TABLE).rename(root / "tasks" / TABLE)
    (root / "tasks" / TABLE).write_bytes(("\ufeff" + ends.join(table_rows())).encode())
    assert truth_names(root)[0] == "wall"


def test_scans_and_splits_are_scannets(root: Path) -> None:
    ours, theirs = ScanNet200(root), ScanNet(root)
    assert ours.splits() == theirs.splits()
    assert [s.name for s in ours.scenes("all")] == [s.name for s in theirs.scenes("all")]
    with pytest.raises(InputError, match="of the split val does not exist"):
        ours.scenes("val")


def test_scans_without_annotations_have_no_truth(root: Path) -> None:
    name = "scene0707_00"
    write_mesh(root / "scans_test" / name / f"{name}_vh_clean_2.ply", 9, None)
    (root / TABLE).unlink()
    scannet = ScanNet200(root)
    scene = next(scene for scene in scannet.scenes("all") if scene.name == name)
    assert scene.ground_truth is None and scannet.ground_truth(scene) is None


def table(text: str | bytes) -> Callable[[Path], Any]:
    content = text.encode() if isinstance(text, str) else text
    return lambda root: (root / TABLE).write_bytes(content)


def scan_file(ending: str, text: str) -> Callable[[Path], Any]:
    return lambda root: (root / "scans" / EXPORTED / f"{EXPORTED}{ending}").write_text(text)


SEGS, OBJECTS = "_vh_clean_2.0.010000.segs.json", ".aggregation.json"
REFUSALS: dict[str, tuple[Callable[[Path], Any], str, str, str]] = {
    "no table": (
        lambda root: (root / TABLE).unlink(),
        "E_NOT_FOUND",
        "does not exist",
        "label_map",
    ),
    "empty table": (table(""), "E_EMPTY_FILE", "no bytes", ""),
    "bytes": (table(b"\xff\xfe\x00\x01"), "E_DATASET", "is not a table", "label_map"),
    "other table": (table("raw\tid\nwall\t1\n"), "E_DATASET", "columns id and raw", "label_map"),
    "words for ids": (table("id\traw_category\none\twall\n"), "E_DATASET", "columns", "label_map"),
    "cut row": (table("raw_category\tid\nwall\n"), "E_DATASET", "columns id and raw", "label_map"),
    "old table": (
        table("\n".join(row for row in table_rows() if "potted plant" not in row)),
        "E_DATASET",
        "no category of the id 1189, potted plant",
        "label_map",
    ),
    "no segments": (
        lambda root: (root / "scans" / EXPORTED / f"{EXPORTED}{SEGS}").unlink(),
        "E_NOT_FOUND",
        "does not exist",
        "",
    ),
    "count": (scan_file(SEGS, '{"segIndices": [1, 2]}'), "E_COUNT_MISMATCH", "2 labels", ""),
    "nothing": (scan_file(SEGS, "{}"), "E_DATASET", "segIndices", ""),
    "cut off": (scan_file(SEGS, '{"segIndices": [1, 2'), "E_TRUNCATED", "ends early", ""),
    "no objects": (scan_file(OBJECTS, '{"sceneId": "x"}'), "E_DATASET", "segGroups", ""),
    "list": (scan_file(OBJECTS, "[]"), "E_DATASET", "is a list, not an object", ""),
    "no category": (
        scan_file(OBJECTS, '{"segGroups": [{"segments": [3]}]}'),
        "E_DATASET",
        "segGroups[0]",
        "",
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_cannot_be_is_refused_in_one_line(root: Path, kind: str) -> None:
    damage, code, fault, remedy = REFUSALS[kind]
    damage(root)
    with pytest.raises(InputError) as refusal:
        truth_names(root)
    assert refusal.value.code == code
    assert fault in refusal.value.fault
    assert remedy in refusal.value.remedy and "\n" not in str(refusal.value)
