"""Labelled scans for training and evaluation, with the taxonomy's leaves of each label."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.cloud_file import read_cloud
from weights.recipe.points.taxonomy import Taxonomy, read_table

# Concepts of the simulator that have another name in the taxonomy.
_LEAF_OF_CONCEPT = {"trash bin": "trash can"}
# The simulator's concept of points without ground truth.
_UNLABELED = "unlabeled"


@dataclass(frozen=True, slots=True)
class Scan:
    """One labelled scan.

    Attributes:
        name: stem of its file's name.
        source: where it comes from, such as "pandaset" or "sim-driving".
        xyz: (N, 3) float64, metres, z up.
        leaf_set_of_point: (N,) int16, an index into ``leaf_sets``; −1 has no ground truth.
        leaf_sets: L sets of leaves; a point can be any leaf of its set.
    """

    name: str
    source: str
    xyz: npt.NDArray[np.float64]
    leaf_set_of_point: npt.NDArray[np.int16]
    leaf_sets: tuple[frozenset[str], ...]

    @property
    def known_leaves(self) -> frozenset[str]:
        """The leaves that occur in any label of the scan's source."""
        return frozenset().union(*self.leaf_sets)


def read_leaf_sets(source: str) -> tuple[dict[int, int], tuple[frozenset[str], ...]]:
    """Return the leaf set of each label of a source.

    Args:
        source: a table of ``sources.toml``.

    Returns:
        For each label the index of its leaf set, and the leaf sets.

    Raises:
        KeyError: the table lists an unknown leaf or an unknown set.
    """
    tables = read_table("sources.toml")
    known = Taxonomy.read().words_of_leaf
    set_of_label: dict[int, int] = {}
    leaf_sets: list[frozenset[str]] = []
    for label, names in tables[source].items():
        leaves: set[str] = set()
        for name in names:
            leaves |= set(tables["sets"][name[1:]]) if name.startswith("@") else {name}
        if leaves - set(known):
            raise KeyError(f"{source}.{label}: unknown leaves: {sorted(leaves - set(known))}")
        set_of_label[int(label)] = len(leaf_sets)
        leaf_sets.append(frozenset(leaves))
    return set_of_label, tuple(leaf_sets)


def read_labelled(path: Path) -> tuple[PointCloud, npt.NDArray[np.uint8]]:
    """Return the N points of a file of ``../shared/data`` and their labels, (N,) uint8."""
    if path.suffix == ".npz":
        arrays = np.load(path)
        return PointCloud(arrays["xyz"].astype(np.float64)), arrays["label"]
    import laspy

    return read_cloud(path), np.asarray(laspy.read(path).classification)


def read_real_scan(path: Path, source: str, table: str) -> Scan:
    """Return a scan of ``../shared/data`` whose labels are in a table of ``sources.toml``."""
    cloud, label = read_labelled(path)
    set_of_label, leaf_sets = read_leaf_sets(table)
    # (256,) from label to leaf set.
    lookup = np.full(256, -1, dtype=np.int16)
    for known_label, leaf_set in set_of_label.items():
        lookup[known_label] = leaf_set
    return Scan(path.stem, source, cloud.xyz, lookup[label], leaf_sets)


def read_simulated_scan(path: Path, source: str) -> Scan:
    """Return a scan that ``weights.recipe.simulate`` wrote; each concept is one leaf.

    Raises:
        KeyError: a concept is not a leaf of the taxonomy.
    """
    arrays = np.load(path)
    leaves = [_LEAF_OF_CONCEPT.get(str(name), str(name)) for name in arrays["concepts"]]
    unknown = set(leaves) - set(Taxonomy.read().words_of_leaf) - {_UNLABELED}
    if unknown:
        raise KeyError(f"{path}: unknown leaves: {sorted(unknown)}")
    # Only concepts that occur in the scan become leaf sets.
    occurring = np.unique(arrays["label"])
    present = [label for label in occurring if leaves[label] != _UNLABELED]
    lookup = np.full(len(leaves), -1, dtype=np.int16)
    lookup[present] = np.arange(len(present))
    leaf_sets = tuple(frozenset((leaves[label],)) for label in present)
    xyz = arrays["xyz"].astype(np.float64)
    return Scan(path.stem, source, xyz, lookup[arrays["label"]], leaf_sets)


def training_paths(shared: Path, simulated: Path) -> dict[str, list[tuple[Path, str]]]:
    """Return the files to train on by source, each with its table; "" for simulated scans.

    Kept out of training, for evaluation: the split val of ika, and tile 0382_6565 of IGN, which
    is 500 km from the other tiles.

    Args:
        shared: the folder ``../shared/data``.
        simulated: folder with folders driving*, aerial* and indoor* of simulated scans.
    """
    driving, aerial = shared / "driving", shared / "aerial"
    files = {
        "pandaset": [(p, "pandaset") for p in sorted(driving.glob("pandaset_001/*.npz"))],
        "ika": [(p, "ika") for p in sorted(driving.glob("ika/train/*.npz"))],
        "ign": [(p, "asprs") for p in sorted(aerial.glob("ign_770*.laz"))],
        "ahn": [(aerial / "ahn3_delft.laz", "ahn")],
    }
    for scene in ("driving", "aerial", "indoor"):
        paths = sorted(
            path for folder in simulated.glob(f"{scene}*") for path in folder.glob("*.npz")
        )
        files[f"sim-{scene}"] = [(path, "") for path in paths]
    return files


def read_scans(files: dict[str, list[tuple[Path, str]]]) -> Iterator[Scan]:
    """Yield the scans of the files that `training_paths` returns."""
    for source, entries in files.items():
        for path, table in entries:
            if table:
                yield read_real_scan(path, source, table)
            else:
                yield read_simulated_scan(path, source)
