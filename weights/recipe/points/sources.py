"""Scans to train on: where each label stands for the leaves it may mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.formats.cloud_file import ReadOptions, read_cloud
from weights.recipe.points.taxonomy import Taxonomy, read_table


@dataclass(frozen=True, slots=True)
class Scan:
    """One labelled scan.

    Attributes:
        name: the file it came from.
        source: a key of the mixture, such as "pandaset" or "sim-driving".
        xyz: (N, 3) float64, metres, z up.
        meaning: (N,) int16: a row of ``leaves_of_meaning``; −1 = not judged.
        leaves_of_meaning: the set of leaves that each label may mean.
    """

    name: str
    source: str
    xyz: npt.NDArray[np.float64]
    meaning: npt.NDArray[np.int16]
    leaves_of_meaning: tuple[frozenset[str], ...]

    @property
    def known(self) -> frozenset[str]:
        """The leaves that this source's labels can tell."""
        return frozenset().union(*self.leaves_of_meaning)


def meanings(table: str) -> tuple[dict[int, int], tuple[frozenset[str], ...]]:
    """Which meaning each label of a source has, and the leaves of each meaning.

    Raises:
        KeyError: the table names a leaf or a set that is not there.
    """
    rows = read_table("sources.toml")
    leaves = Taxonomy.read().words_of_leaf
    meaning_of_label: dict[int, int] = {}
    leaves_of_meaning: list[frozenset[str]] = []
    for label, names in rows[table].items():
        given: set[str] = set()
        for name in names:
            given |= set(rows["sets"][name[1:]]) if name.startswith("@") else {name}
        if given - set(leaves):
            raise KeyError(f"{table}.{label}: no such leaves: {sorted(given - set(leaves))}")
        meaning_of_label[int(label)] = len(leaves_of_meaning)
        leaves_of_meaning.append(frozenset(given))
    return meaning_of_label, tuple(leaves_of_meaning)


def read_labelled(path: Path) -> tuple[PointCloud, npt.NDArray[np.uint8]]:
    """A file of ../shared/data: its N points, and (N,) the number of each one's label."""
    if path.suffix == ".npz":
        arrays = np.load(path)
        return PointCloud(arrays["xyz"].astype(np.float64)), arrays["label"]
    import laspy

    return read_cloud(path, ReadOptions())[0], np.asarray(laspy.read(path).classification)


def real_scan(path: Path, source: str, table: str) -> Scan:
    """A scan of ../shared/data, with the meanings of a table of sources.toml."""
    cloud, label = read_labelled(path)
    meaning_of_label, leaves_of_meaning = meanings(table)
    number = np.full(256, -1, dtype=np.int16)
    for known, meaning in meaning_of_label.items():
        number[known] = meaning
    return Scan(path.stem, source, cloud.xyz, number[label], leaves_of_meaning)


def simulated_scan(path: Path, source: str) -> Scan:
    """A scan that weights.recipe.simulate wrote: its concepts are leaves."""
    arrays = np.load(path)
    same = {"trash bin": "trash can"}
    names = [same.get(str(name), str(name)) for name in arrays["concepts"]]
    unknown = set(names) - set(Taxonomy.read().words_of_leaf)
    if unknown:
        raise KeyError(f"{path}: no such leaves: {sorted(unknown)}")
    present = np.unique(arrays["label"])
    number = np.full(256, -1, dtype=np.int16)
    number[present] = np.arange(len(present))
    leaves = tuple(frozenset((names[label],)) for label in present)
    return Scan(
        path.stem, source, arrays["xyz"].astype(np.float64), number[arrays["label"]], leaves
    )


def training_paths(shared: Path, simulated: Path) -> dict[str, list[tuple[Path, str]]]:
    """The files to train on by source, each with its table; "" for simulated ones.

    Kept out, to judge by: ika's val, and IGN's tile 0382_6565, 500 km from the other tiles.
    """
    driving, aerial = shared / "driving", shared / "aerial"
    files = {
        "pandaset": [(p, "pandaset") for p in sorted(driving.glob("pandaset_001/*.npz"))],
        "ika": [(p, "ika") for p in sorted(driving.glob("ika/train/*.npz"))],
        "ign": [(p, "asprs") for p in sorted(aerial.glob("ign_770*.laz"))],
        "ahn": [(aerial / "ahn3_delft.laz", "ahn")],
    }
    for kind in ("driving", "aerial", "indoor"):
        paths = sorted(p for d in simulated.glob(f"{kind}*") for p in d.glob("*.npz"))
        files[f"sim-{kind}"] = [(path, "") for path in paths]
    return files


def read_scans(files: dict[str, list[tuple[Path, str]]]) -> Iterator[Scan]:
    """The scans of `training_paths`, one after another."""
    for source, entries in files.items():
        for path, table in entries:
            if table:
                yield real_scan(path, source, table)
            else:
                yield simulated_scan(path, source)
