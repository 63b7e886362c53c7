"""ScanNet200: ScanNet's scans, with the ground truth of the benchmark of 200 classes."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.json_files import read_json
from clip3d_cli.datasets.point_files import require_one_per_point
from clip3d_cli.datasets.scannet.dataset import ScanNet
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.formats.ply.header import read_ply_header

_TABLE = "scannetv2-labels.combined.tsv"
_COLUMNS = ("id", "raw_category")
_FETCH = "Fetch it with ScanNet's download script: download-scannet.py --label_map -o ROOT."
_REMEDY = "Download the scan's annotations again."
_IGNORED = -1

ClassIndex = npt.NDArray[np.int32]


class _Segments(Struct):
    """Content of ``*_vh_clean_2.0.010000.segs.json``: the segment of every vertex."""

    segment_of_vertex: list[float] = msgspec.field(name="segIndices")


class _Object(Struct):
    segments: list[float]
    label: str


class _Objects(Struct):
    """Content of ``*.aggregation.json``: the segments and the raw category of every object."""

    objects: list[_Object] = msgspec.field(name="segGroups")


class ScanNet200(ScanNet):
    """ScanNet200 (Rozenberszki et al., ECCV 2022), which has the scans and splits of ScanNet.

    The ground truth is made as by ``preprocess_scannet200.py`` of github.com/ScanNet/ScanNet
    (3830fce): every vertex has a segment, every object has segments and a raw category, and
    ``scannetv2-labels.combined.tsv`` has the id of a raw category in its first row of that name.
    Where a segment belongs to several objects, the last one counts.

    Args:
        root: as for ScanNet; the table is in this folder, or in its folder ``tasks``.

    Raises:
        InputError: E_NOT_FOUND: the folder contains no scan.
    """

    name = "scannet200"
    _vocabulary_name = "scannet200"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._class_of_category: Mapping[str, int] | None = None

    def ground_truth(self, scene: PosedScene) -> ClassIndex | None:
        """Read the benchmark's 200 classes of the vertices of a mesh.

        Args:
            scene: one of the scenes.

        Returns:
            (N,) int32 class indices, −1 = ignored; or None.

        Raises:
            InputError: E_COUNT_MISMATCH: the number of segments is not the number of vertices;
                E_NOT_FOUND: the table of categories does not exist; E_DATASET, E_TRUNCATED: a file
                is broken.
        """
        if scene.ground_truth is None:
            return None
        if self._class_of_category is None:
            self._class_of_category = _read_categories(_table_path(self.root), self.vocabulary)
        path = scene.ground_truth.with_name(f"{scene.name}_vh_clean_2.0.010000.segs.json")
        segment_of_vertex = np.array(read_json(path, _Segments, remedy=_REMEDY).segment_of_vertex)
        points = read_ply_header(scene.sweeps[0].path).vertex.count
        require_one_per_point(path, segment_of_vertex.shape, points)
        # (S,) numbers of the segments, and the (N,) row among them of every vertex.
        segments, row_of_vertex = np.unique(segment_of_vertex, return_inverse=True)
        class_of_segment: ClassIndex = np.full(len(segments), _IGNORED, dtype=np.int32)
        for each in read_json(scene.ground_truth, _Objects, remedy=_REMEDY).objects:
            in_object = np.isin(segments, np.array(each.segments))
            class_of_segment[in_object] = self._class_of_category.get(each.label, _IGNORED)
        return class_of_segment[row_of_vertex]

    def _ground_truth_file(self, name: str) -> Path:
        return self._folders[name] / f"{name}.aggregation.json"


def _table_path(root: Path) -> Path:
    paths = [root / _TABLE, root / "tasks" / _TABLE]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(
            "E_NOT_FOUND", paths[0], "does not exist, but has the ids of the classes", _FETCH
        )
    return path


def _read_categories(path: Path, vocabulary: Vocabulary) -> dict[str, int]:
    """Return the class index of every raw category that counts as a class.

    Raises:
        InputError: E_EMPTY_FILE; E_DATASET: it is another table, or has no row of a class's id.
    """
    require_file(path)
    try:
        # splitlines() because there are copies with doubled line ends; empty lines are skipped.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        # The first row of a name counts, so it comes last here.
        id_of_category = {row["raw_category"]: int(row["id"]) for row in reversed(rows)}
    except (UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        fault = f"is not a table with the columns {' and '.join(_COLUMNS)}"
        raise InputError("E_DATASET", path, fault, _FETCH) from error
    index_of_id = {entry.class_id: index for index, entry in enumerate(vocabulary.classes)}
    missing = sorted(set(index_of_id) - set(id_of_category.values()))
    if missing:
        name = vocabulary.classes[index_of_id[missing[0]]].name
        fault = f"has no category of the id {missing[0]}, {name}: it is of another release"
        raise InputError("E_DATASET", path, fault, _FETCH)
    return {
        category: index_of_id[class_id]
        for category, class_id in id_of_category.items()
        if class_id in index_of_id
    }
