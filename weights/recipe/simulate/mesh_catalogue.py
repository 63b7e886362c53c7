"""Ready-made 3-D meshes from archives, each with concepts and scaled to its true size.

``mesh_catalogue.toml`` lists the meshes. Meshes whose files are missing are left out, so the
simulator also works without any archive. Files are read when they are first drawn.
"""

import re
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.materials import material_index
from weights.recipe.simulate.mesh_files import read_mesh_file, rotation_xyz
from weights.recipe.simulate.primitives import F32, Mesh, Rng, labelled_mesh

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Denser meshes are thinned to this many triangles: a scan could not tell the difference.
_MAX_TRIANGLES = 14_000


@dataclass(frozen=True)
class CatalogueMesh:
    """A ready-made mesh.

    Attributes:
        path: its file.
        concept: the concept of its triangles, unless ``parts`` says otherwise.
        longest_m: its longest extent in metres; 0 keeps the file's scale.
        turn_deg: rotation about z in degrees after which it faces +x.
        parts: concepts of surfaces by a pattern of the file's names for them.
    """

    path: Path
    concept: str
    longest_m: float
    turn_deg: float
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def mesh(self) -> Mesh:
        """The triangles in metres, centred above the origin, the lowest at z = 0."""
        return _read(self)


class Catalogue(Mapping[str, CatalogueMesh]):
    """Ready-made meshes by name, and the names of each concept."""

    def __init__(self, entries: Mapping[str, CatalogueMesh] | None = None) -> None:
        """Start with some meshes, or none."""
        self._entries = dict(entries or {})
        self._names: dict[str, list[str]] = {}
        for name, entry in self._entries.items():
            self._names.setdefault(entry.concept, []).append(name)

    def __getitem__(self, name: str) -> CatalogueMesh:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def names_of(self, concept: str, beginning: str = "") -> list[str]:
        """Return the names of a concept's meshes that begin with ``beginning``."""
        return [name for name in self._names.get(concept, ()) if name.startswith(beginning)]


@lru_cache(maxsize=2)
def read_catalogue(folder: Path | None) -> Catalogue:
    """Return the catalogue's meshes by name, as far as their files exist.

    Args:
        folder: folder with the archives ``meshes/*.tar*``; None gives an empty catalogue.
    """
    if folder is None or not (folder / "meshes").is_dir():
        return Catalogue()
    unpacked = _unpack(folder / "meshes")
    text = Path(__file__).with_name("mesh_catalogue.toml").read_text(encoding="utf-8")
    catalogue = {}
    for name, row in tomllib.loads(text)["meshes"].items():
        pattern, concept, longest_m, turn_deg = row[:4]
        parts: dict[str, Any] = row[4] if len(row) > 4 else {}
        for path in sorted(unpacked.glob(pattern))[:1]:
            catalogue[name] = CatalogueMesh(
                path, concept, float(longest_m), float(turn_deg), tuple(parts.items())
            )
    return Catalogue(catalogue)


def draw_from_catalogue(
    catalogue: Catalogue, concept: str, rng: Rng, beginning: str = ""
) -> Mesh | None:
    """Return a random mesh of a concept, or None if the catalogue has none.

    Args:
        catalogue: the meshes.
        concept: the concept.
        rng: draws one of them.
        beginning: how its name begins.
    """
    names = catalogue.names_of(concept, beginning)
    return catalogue[names[int(rng.integers(len(names)))]].mesh if names else None


def _unpack(folder: Path) -> Path:
    """Return a temporary folder with the unpacked archives; unpack each archive once."""
    target = Path(gettempdir()) / "clip3d-recipe-meshes"
    for archive in sorted((*folder.glob("*.tar.xz"), *folder.glob("*.tar"))):
        done = target / (archive.name + ".done")
        if not done.exists():
            target.mkdir(parents=True, exist_ok=True)
            with tarfile.open(archive) as packed:
                packed.extractall(target / archive.name.split(".")[0], filter="data")
            done.touch()
    return target


@cache
def _read(entry: CatalogueMesh) -> Mesh:
    """Return a mesh of the catalogue with concepts, materials and colours."""
    read = read_mesh_file(entry.path)
    triangles = _normalized(read.triangles, entry.longest_m, entry.turn_deg)
    plain = labelled_mesh(entry.concept, triangles)
    material = np.array([material_of_surface(name) for name in read.surface_names], dtype=np.int64)
    label = np.array([_concept_of(name, entry) for name in read.surface_names], dtype=np.int64)
    given = material[read.surface]
    mesh = replace(
        plain,
        label=label[read.surface].astype(np.uint16),
        material=np.where(given >= 0, given, plain.material).astype(np.uint8),
        color=read.color,
    )
    # Files have invisible or flat remainders: triangles without an area.
    edges = np.diff(mesh.triangles, axis=1)
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    kept = np.flatnonzero(area > 1e-9)
    if len(kept) > _MAX_TRIANGLES:
        # The largest, and any others: the shape stays where it matters.
        drawn = np.random.default_rng(0).random(len(kept)) * area[kept] ** 0.7
        kept = np.sort(kept[np.argsort(-drawn)[:_MAX_TRIANGLES]])
    return mesh[kept]


# Materials by what a file's name of a surface has in it; the first that fits.
_MATERIAL_OF_WORD = (
    ("head.?light|white.?light|^light$", "frosted_glass"),
    ("tail.?light|red.?light", "tail_light"),
    ("wind(ow|shield|screen)|glass", "glass"),
    ("mirror", "mirror"),
    ("tire|tyre|rubber", "rubber"),
    ("chrome", "chrome"),
    ("metal|steel|iron|alumin", "steel"),
    ("number.?plate|license", "number_plate"),
    ("leaf|leaves|foliage|green_tree|plant", "leaves"),
    ("bark|trunk", "bark"),
    ("wood", "wood"),
    ("brick", "brick"),
    ("concrete|cement", "concrete"),
    ("fabric|cloth|cushion|cushin|couch|sofa|sheet|pillow", "upholstery"),
    ("leather", "leather"),
    ("curtain", "curtain"),
    ("carpet", "carpet"),
    ("skin", "skin"),
    ("hair", "hair"),
    ("shirt", "fabric"),
    ("pants|trousers", "trousers"),
    ("plastic", "plastic"),
    ("paper|pages", "paper"),
    ("screen|display", "screen"),
    ("marble|ceramic|porcelain", "ceramic"),
)


def material_of_surface(surface: str) -> int:
    """Return the material that a file's name of a surface stands for, −1 for none."""
    for pattern, material in _MATERIAL_OF_WORD:
        if re.search(pattern, surface.lower()):
            return material_index(material)
    return -1


def _concept_of(surface: str, entry: CatalogueMesh) -> int:
    for pattern, concept in entry.parts:
        if re.search(pattern, surface.lower()):
            return concept_index(concept)
    return concept_index(entry.concept)


def _normalized(triangles: F32, longest_m: float, turn_deg: float) -> F32:
    """Return triangles turned about z, centred above the origin at z = 0, and scaled.

    Args:
        triangles: (T, 3, 3).
        longest_m: the longest extent after scaling in metres; 0 keeps the scale.
        turn_deg: rotation about z in degrees.
    """
    matrix = rotation_xyz(np.array([0, 0, np.radians(turn_deg)], dtype=np.float32))
    turned = triangles @ matrix.T
    low, high = turned.reshape(-1, 3).min(axis=0), turned.reshape(-1, 3).max(axis=0)
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    scale = longest_m / float((high - low).max()) if longest_m > 0 else 1.0
    return np.asarray((turned - foot) * scale, dtype=np.float32)
