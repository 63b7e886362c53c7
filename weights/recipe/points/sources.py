"""Labelled scans for training and evaluation, with the taxonomy's leaves of each label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.cloud_file import read_cloud
from clip3d_cli.formats.colors import unit_intensity
from weights.recipe.points.taxonomy import Taxonomy, read_table

# Concepts of the simulator that have another name in the taxonomy.
_LEAF_OF_CONCEPT = {"trash bin": "trash can"}
# Table of labels that are known inside boxes only.
BOXES = "pandaset_boxes"
# The simulator's concept of points without ground truth.
_UNLABELED = "unlabeled"


@dataclass(frozen=True, slots=True)
class Scan:
    """One labelled scan.

    Attributes:
        name: stem of its file's name.
        source: where it comes from, such as "pandaset" or "sim-driving".
        cloud: N points, z up.
        leaf_set_of_point: (N,) int16, an index into ``leaf_sets``; −1 has no ground truth.
        leaf_sets: L sets of leaves; a point can be any leaf of its set.
        fine: whether the labels distinguish all leaves, parts of things included.
    """

    name: str
    source: str
    cloud: PointCloud
    leaf_set_of_point: npt.NDArray[np.int16]
    leaf_sets: tuple[frozenset[str], ...]
    fine: bool = False

    @property
    def known_leaves(self) -> frozenset[str]:
        """The leaves that occur in any label of the scan's source."""
        return frozenset().union(*self.leaf_sets)


@dataclass(frozen=True, slots=True)
class ScanFile:
    """A file with one labelled scan.

    Attributes:
        path: the file.
        source: where it comes from, such as "pandaset" or "sim-driving".
        table: table of ``sources.toml`` with its labels; "" for simulated scans.
    """

    path: Path
    source: str
    table: str


def read_leaf_sets(source: str) -> tuple[dict[str, int], tuple[frozenset[str], ...]]:
    """Return the leaf set of each label of a source.

    Args:
        source: a table of ``sources.toml``.

    Returns:
        For each label (as text, or the name of a box's class) the index of its leaf set, and the
        leaf sets.

    Raises:
        KeyError: the table lists an unknown leaf or an unknown set.
    """
    tables = read_table("sources.toml")
    known = Taxonomy.read().words_of_leaf
    set_of_label: dict[str, int] = {}
    leaf_sets: list[frozenset[str]] = []
    for label, names in tables[source].items():
        leaves: set[str] = set()
        for name in names:
            leaves |= set(tables["sets"][name[1:]]) if name.startswith("@") else {name}
        if leaves - set(known):
            raise KeyError(f"{source}.{label}: unknown leaves: {sorted(leaves - set(known))}")
        set_of_label[label] = len(leaf_sets)
        leaf_sets.append(frozenset(leaves))
    return set_of_label, tuple(leaf_sets)


def read_labelled(path: Path) -> tuple[PointCloud, npt.NDArray[np.int64]]:
    """Return the N points of a file of ``../shared/data`` and their labels, (N,) int64.

    Labels −1 are unknown.
    """
    if path.suffix == ".npz":
        arrays = np.load(path)
        cloud = PointCloud(
            arrays["xyz"].astype(np.float64), None, unit_intensity(arrays["intensity"])
        )
        label = arrays["label"] if "label" in arrays else arrays["box_label"]
        return cloud, label.astype(np.int64)
    import laspy

    return read_cloud(path), np.asarray(laspy.read(path).classification).astype(np.int64)


def read_real_scan(path: Path, source: str, table: str) -> Scan:
    """Return a scan of ``../shared/data`` whose labels are in a table of ``sources.toml``.

    Labels inside boxes are numbers of the file's own ``box_classes``; the table lists the names.
    """
    cloud, label = read_labelled(path)
    set_of_label, leaf_sets = read_leaf_sets(table)
    names = np.load(path)["box_classes"] if table == BOXES else np.arange(256)
    # From label to leaf set; the last entry is that of −1, which is unknown.
    lookup = np.array([set_of_label.get(str(name), -1) for name in names] + [-1], dtype=np.int16)
    return Scan(path.stem, source, cloud, lookup[label], leaf_sets)


def read_simulated_scan(path: Path, source: str) -> Scan:
    """Return a scan that ``weights.recipe.simulate`` wrote.

    A concept is one leaf, or several with "|" between them, of which each point is one.

    Raises:
        KeyError: a concept is not a leaf of the taxonomy.
    """
    arrays = np.load(path)
    names = [str(name) for name in arrays["concepts"]]
    label = arrays["label"]
    # Only concepts that occur in the scan become leaf sets.
    occurring = [number for number in np.unique(label) if names[number] != _UNLABELED]
    leaf_sets = tuple(
        frozenset(_LEAF_OF_CONCEPT.get(leaf, leaf) for leaf in names[number].split("|"))
        for number in occurring
    )
    unknown = frozenset().union(*leaf_sets) - set(Taxonomy.read().words_of_leaf)
    if unknown:
        raise KeyError(f"{path}: unknown leaves: {sorted(unknown)}")
    lookup = np.full(len(names), -1, dtype=np.int16)
    lookup[occurring] = np.arange(len(occurring))
    cloud = PointCloud(
        arrays["xyz"].astype(np.float64),
        arrays.get("rgb"),
        arrays.get("intensity"),
    )
    return Scan(path.stem, source, cloud, lookup[label], leaf_sets, fine=True)


def read_scan(file: ScanFile) -> Scan:
    """Return the scan of a file."""
    if file.table:
        return read_real_scan(file.path, file.source, file.table)
    return read_simulated_scan(file.path, file.source)


def real_files(shared: Path) -> list[ScanFile]:
    """Return the real scans to train on.

    Kept out of training, for evaluation: the split val of ika, and tile 0382_6565 of IGN, which
    is 500 km from the other tiles.

    Args:
        shared: the folder ``../shared/data``.
    """
    patterns = {
        "pandaset": ("driving/pandaset_001/*.npz", "pandaset"),
        "boxes": ("driving/pandaset_boxes/*.npz", BOXES),
        "ika": ("driving/ika/train/*.npz", "ika"),
        "ign": ("aerial/ign_770*.laz", "asprs"),
        "ahn": ("aerial/ahn3_delft.laz", "ahn"),
    }
    return [
        ScanFile(path, source, table)
        for source, (pattern, table) in patterns.items()
        for path in sorted(shared.glob(pattern))
    ]


def simulated_files(folder: Path) -> list[ScanFile]:
    """Return the simulated scans of a folder, by name.

    Args:
        folder: it has a folder for each kind of scene, named after it: what comes before the first
            "-" of ``indoor-2`` is the kind.
    """
    return [
        ScanFile(path, f"sim-{path.parent.name.split('-')[0]}", "")
        for path in sorted(folder.glob("*/*.npz"))
        if not path.name.endswith(".part.npz")
    ]
