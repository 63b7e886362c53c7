"""ScanNet200: ScanNet's scans, with the truth of the benchmark of 200 classes."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.json_documents import Entry, read_document
from clip3d_cli.datasets.point_labels import require_count
from clip3d_cli.datasets.scannet.dataset import ScanNet
from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.formats.ply.header import read_ply_header

_TABLE = "scannetv2-labels.combined.tsv"
_COLUMNS = ("id", "raw_category")
_FETCH = "Fetch it with ScanNet's download script: download-scannet.py --label_map -o ROOT."
_AGAIN = "Download the scan's annotations again."
_NOT_JUDGED = -1

ClassIndex = npt.NDArray[np.int32]


class ScanNet200(ScanNet):
    """ScanNet200 (Rozenberszki et al., ECCV 2022): scans and splits are ScanNet's.

    Truth is made as ``preprocess_scannet200.py`` of github.com/ScanNet/ScanNet (3830fce) does it:
    a vertex has a segment (``*_vh_clean_2.0.010000.segs.json``), objects are lists of segments
    with a raw category (``*.aggregation.json``), of which a later one wins, and
    ``scannetv2-labels.combined.tsv`` gives the raw category its id, in its first row of that name.

    Args:
        root: as ScanNet's; the table lies in it, or in its folder ``tasks``.

    Raises:
        InputError: E_NOT_FOUND: there is no scan in it.
    """

    name = "scannet200"
    _vocabulary_name = "scannet200"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._class_of_category: Mapping[str, int] | None = None

    def truth(self, scene: PosedScene) -> ClassIndex | None:
        """(N,) int32: the 200 classes of the benchmark for every vertex, −1 = not judged.

        Raises:
            InputError: E_COUNT_MISMATCH: not as many segments as vertices; E_NOT_FOUND: the table
                of categories is not there; E_DATASET, E_TRUNCATED: a file is broken.
        """
        if scene.truth is None:
            return None
        if self._class_of_category is None:
            self._class_of_category = _categories(_table_below(self.root), self.vocabulary)
        path = scene.truth.with_name(f"{scene.name}_vh_clean_2.0.010000.segs.json")
        segment_of_point = read_document(path).array("segIndices", (None,))
        points = read_ply_header(scene.sweeps[0].path).vertex.count
        require_count(path, segment_of_point.shape, points)
        segments, place = np.unique(segment_of_point, return_inverse=True)
        index: ClassIndex = np.full(len(segments), _NOT_JUDGED, dtype=np.int32)
        for group in _groups(scene.truth):
            own = np.isin(segments, group.array("segments", (None,)))
            index[own] = self._class_of_category.get(group.text("label"), _NOT_JUDGED)
        return index[place]

    def _truth_file(self, name: str) -> Path:
        return self._folders[name] / f"{name}.aggregation.json"


def _groups(path: Path) -> list[Entry]:
    """The objects of a scan, in the order of the file."""
    document = read_document(path)
    if "segGroups" not in document:
        raise document.fault("has no segGroups, the objects", _AGAIN)
    return document.entries("segGroups", "object")


def _table_below(root: Path) -> Path:
    places = [root / _TABLE, root / "tasks" / _TABLE]
    found = [path for path in places if path.is_file()]
    if not found:
        raise InputError("E_NOT_FOUND", places[0], "is not there: it numbers the classes", _FETCH)
    return found[0]


def _categories(path: Path, vocabulary: Vocabulary) -> dict[str, int]:
    """The class index of every raw category that one of the classes counts.

    Raises:
        InputError: E_EMPTY_FILE; E_DATASET: it is another table, or knows a class's id not.
    """
    require_file(path)
    try:
        # Copies with doubled line ends are about.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
        ids = {row["raw_category"]: int(row["id"]) for row in reversed(rows)}
    except (UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        fault = f"is no table with the columns {' and '.join(_COLUMNS)}"
        raise InputError("E_DATASET", path, fault, _FETCH) from error
    index_of_id = {entry.class_id: index for index, entry in enumerate(vocabulary.classes)}
    lost = sorted(set(index_of_id) - set(ids.values()))
    if lost:
        name = vocabulary.classes[index_of_id[lost[0]]].name
        fault = f"has no category of the id {lost[0]}, {name}: it is of another release"
        raise InputError("E_DATASET", path, fault, _FETCH)
    return {
        category: index_of_id[number] for category, number in ids.items() if number in index_of_id
    }
