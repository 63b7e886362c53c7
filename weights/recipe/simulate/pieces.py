"""Ready-made pieces of furniture and household objects, at true size, with colours and materials.

``pieces.toml`` lists them by archive and concept. Reading the archives takes a minute, once: each
collection is packed into one npz file in a cache folder, which later processes load in a fraction
of a second. Collections whose archive is missing are left out, so that the simulator also works
without any.
"""

import csv
import hashlib
import json
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.concepts import concept_index, concept_names
from weights.recipe.simulate.materials import (
    draw_color,
    linear_of_srgb,
    material_names,
    material_of_concept,
    to_srgb,
)
from weights.recipe.simulate.mesh_catalogue import material_of_surface
from weights.recipe.simulate.mesh_files import MeshFile, read_mesh_file, rotation_xyz
from weights.recipe.simulate.primitives import F32, U8, U16, Mesh, Rng

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Part of the names of cached files: a higher number makes every process pack them anew.
_FORMAT = 4
# Grey of parts whose texture is not in the archive (all channels equal, mid-grey to white).
_PLACEHOLDER = (110, 235)
_KEEP_COLOR_PROBABILITY = 0.6
_MOST_COLORS = 14
# Words in the names of surfaces that tell which of several concepts a part has.
_CONCEPT_WORDS = {
    "pillow": "pillow",
    "comforter": "blanket",
    "cover": "blanket",
    "mattress": "bed",
    "bedframe": "bed",
    "pages": "book",
    "kitchentop": "counter",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a piece comes from, for the list of attributions.

    Attributes:
        collection: a table of ``pieces.toml``.
        name: its file's name.
        concept: its concept, or several joined by "|".
        author: who made it.
        licence: under which it may be used.
    """

    collection: str
    name: str
    concept: str
    author: str
    licence: str


class PieceCatalogue:
    """All pieces of a folder of archives, by concept."""

    def __init__(self, packs: list["_Pack"]) -> None:
        """Index the pieces of packed collections."""
        self._packs = packs
        self._places: dict[str, list[tuple[int, int]]] = {}
        for pack_number, pack in enumerate(packs):
            for number, piece in enumerate(pack.pieces):
                self._places.setdefault(piece.concept, []).append((pack_number, number))

    @property
    def pieces(self) -> list[Piece]:
        """All pieces."""
        return [piece for pack in self._packs for piece in pack.pieces]

    def count(self, concept: str) -> int:
        """Return the number of pieces whose concept is exactly ``concept``."""
        return len(self._places.get(concept, ()))

    def draw(self, concept: str, rng: Rng) -> Mesh | None:
        """Return a random piece of a concept, in its own or other colours; None if there is none.

        The piece stands on z = 0 above the origin and faces +x. Pieces of "a|b" count as pieces of
        "a", too.
        """
        names = [name for name in self._places if name == concept or name.startswith(concept + "|")]
        places = [place for name in names for place in self._places[name]]
        if not places:
            return None
        pack_number, number = places[int(rng.integers(len(places)))]
        return _recolored(self._packs[pack_number].mesh(number), rng)


@dataclass(frozen=True, slots=True)
class _Pack:
    """The pieces of one collection, all in one set of arrays."""

    pieces: tuple[Piece, ...]
    vertex: F32
    face: NDArray[np.uint16]
    color: U8
    material: U8
    label: U16
    first_vertex: NDArray[np.int64]
    first_face: NDArray[np.int64]

    def mesh(self, number: int) -> Mesh:
        """Return the mesh of one piece."""
        faces = slice(int(self.first_face[number]), int(self.first_face[number + 1]))
        vertex = self.vertex[int(self.first_vertex[number]) : int(self.first_vertex[number + 1])]
        triangles = vertex[self.face[faces]]
        opacity = np.ones(len(triangles), dtype=np.float32)
        return Mesh(triangles, self.label[faces], opacity, self.material[faces], self.color[faces])


@lru_cache(maxsize=2)
def read_pieces(folder: Path | None) -> PieceCatalogue:
    """Return the catalogue of pieces, packing collections that no cache has yet.

    Args:
        folder: folder with the archives ``meshes/*.tar*``; None gives an empty catalogue.
    """
    if folder is None or not (folder / "meshes").is_dir():
        return PieceCatalogue([])
    table = _table()
    packs = []
    for name, collection in table["collection"].items():
        archive = folder / "meshes" / collection["archive"]
        if archive.exists():
            packs.append(_cached(name, archive, collection, table["piece"][name]))
    return PieceCatalogue(packs)


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    text = Path(__file__).with_name("pieces.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    return table


def _cached(
    name: str, archive: Path, collection: dict[str, Any], concepts: Mapping[str, list[Any]]
) -> _Pack:
    """Return a collection from its cached file; make that first if it is missing or outdated."""
    described = json.dumps([collection, concepts, concept_names(), material_names()])
    key = f"{_FORMAT} {archive.stat().st_size} {described}"
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = Path(gettempdir()) / "clip3d-recipe-pieces" / f"{name}-{digest}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as unpacked:
            with tarfile.open(archive) as packed:
                packed.extractall(unpacked, filter="data")
            arrays = _packed(name, Path(unpacked), collection, concepts)
        # Two processes may pack at once; each renames a complete file.
        with TemporaryDirectory(dir=path.parent) as part:
            np.savez(Path(part) / path.name, allow_pickle=False, **arrays)
            (Path(part) / path.name).rename(path)
    with np.load(path) as stored:
        pieces = tuple(Piece(*row) for row in json.loads(str(stored["pieces"])))
        return _Pack(
            pieces,
            stored["vertex"],
            stored["face"],
            stored["color"],
            stored["material"],
            stored["label"],
            stored["first_vertex"],
            stored["first_face"],
        )


def _packed(
    name: str, unpacked: Path, collection: dict[str, Any], concepts: Mapping[str, list[Any]]
) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `_Pack` of the listed pieces of an unpacked archive."""
    credits = _credits(unpacked)
    pieces, parts = [], []
    for concept, entries in concepts.items():
        for entry in entries:
            row = [entry] if isinstance(entry, str) else entry
            file = row[0]
            longest_m = float(row[1]) if len(row) > 1 else 0.0
            turn_deg = float(row[2]) if len(row) > 2 else collection["turn_deg"]
            found = sorted(unpacked.glob(f"**/{collection['start']}{file}{collection['end']}"))
            if not found:
                raise FileNotFoundError(
                    f"{collection['archive']}: no file for {file}: correct pieces.toml"
                )
            author, licence = credits.get(
                f"{file}.npz", (collection["author"], collection["licence"])
            )
            pieces.append([name, file, concept, author, licence])
            parts.append(_piece_arrays(found[0], concept, longest_m, turn_deg))
    counts = np.array([[len(vertex), len(face)] for vertex, face, *_ in parts])
    first = np.concatenate([np.zeros((1, 2), np.int64), np.cumsum(counts, axis=0)])
    names = ("vertex", "face", "color", "material", "label")
    columns = {
        key: np.concatenate(column)
        for key, column in zip(names, zip(*parts, strict=True), strict=True)
    }
    return {
        **columns,
        "first_vertex": first[:, 0],
        "first_face": first[:, 1],
        "pieces": np.array(json.dumps(pieces)),
    }


def _credits(unpacked: Path) -> dict[str, tuple[str, str]]:
    """Return author and licence by file from an archive's ``catalog.csv``, if it has one."""
    for path in unpacked.glob("**/catalog.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            return {row["file"]: (row["creator"], row["licence"]) for row in csv.DictReader(file)}
    return {}


def _piece_arrays(
    path: Path, concept: str, longest_m: float, turn_deg: float
) -> tuple[F32, NDArray[np.uint16], U8, U8, U16]:
    """Return vertices, faces, colours, materials and labels of a piece at its size, facing +x."""
    part = _read(path)
    turned = part.triangles @ rotation_xyz(np.array([0, 0, np.radians(turn_deg)], np.float32)).T
    low, high = turned.reshape(-1, 3).min(axis=0), turned.reshape(-1, 3).max(axis=0)
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    scale = longest_m / float((high - low).max()) if longest_m > 0 else 1.0
    corners = ((turned - foot) * scale).astype(np.float32)
    vertex, face = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    if len(vertex) > np.iinfo(np.uint16).max:
        raise ValueError(f"{path}: {len(vertex)} vertices: leave it out of pieces.toml")
    label = _labels(part, concept)
    return (
        vertex,
        face.reshape(-1, 3).astype(np.uint16),
        part.color,
        _materials(part, label),
        label,
    )


def _read(path: Path) -> MeshFile:
    """Return the triangles of a file with z up."""
    read = read_mesh_file(path)
    if "libero" not in str(path):
        return read
    # OBJ files of this collection have z up; `read_mesh_file` takes y for it.
    x, y, z = np.moveaxis(read.triangles, -1, 0)
    return MeshFile(np.stack([x, z, -y], axis=-1), read.color, read.surface, read.surface_names)


def _labels(part: MeshFile, concept: str) -> U16:
    """Return (T,) labels: of the concept, or of one of several that a surface's name tells."""
    several = concept.split("|")
    label = np.full(len(part.color), concept_index(concept), dtype=np.uint16)
    if len(several) == 1:
        return label
    for number, name in enumerate(part.surface_names):
        for word, meant in _CONCEPT_WORDS.items():
            if word in name.lower() and meant in several:
                label[part.surface == number] = concept_index(meant)
                break
    return label


def _materials(part: MeshFile, label: U16) -> U8:
    """Return (T,) materials: as names of surfaces tell, else those of the concepts."""
    of_surface = np.array([material_of_surface(name) for name in part.surface_names])
    told = of_surface[part.surface]
    return np.where(told >= 0, told, material_of_concept()[label]).astype(np.uint8)


def _recolored(mesh: Mesh, rng: Rng) -> Mesh:
    """Return a copy in which some colours are varied and placeholders are painted.

    Triangles of one colour and material stay of one colour.
    """
    key = np.concatenate([mesh.color.astype(np.int64), mesh.material[:, None]], axis=1)
    packed = ((key[:, 0] * 256 + key[:, 1]) * 256 + key[:, 2]) * 256 + key[:, 3]
    groups, group_of_triangle = np.unique(packed, return_inverse=True)
    # Shaded textures have many colours of one part, which must not get different ones.
    keep = bool(rng.random() < _KEEP_COLOR_PROBABILITY) or len(groups) > _MOST_COLORS
    cast = rng.normal(1, 0.06, 3) * np.exp(rng.normal(0, 0.2))
    painted = np.zeros((len(groups), 3), dtype=np.uint8)
    for number, group in enumerate(groups):
        material = int(group) % 256
        color = np.array([int(group) >> shift & 255 for shift in (24, 16, 8)])
        is_placeholder = np.ptp(color) <= 4 and _PLACEHOLDER[0] <= color[0] <= _PLACEHOLDER[1]
        is_bare = not color.any()
        if is_bare or (is_placeholder and rng.random() < 0.8) or not keep:
            linear = draw_color(material, rng)
        else:
            linear = (linear_of_srgb()[color] * cast).astype(np.float32)
        painted[number] = np.maximum(to_srgb(linear), 1)
    return Mesh(mesh.triangles, mesh.label, mesh.opacity, mesh.material, painted[group_of_triangle])
