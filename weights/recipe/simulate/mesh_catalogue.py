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
from numpy.typing import NDArray

from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.materials import material_index
from weights.recipe.simulate.mesh_files import read_mesh_file, rotation_xyz
from weights.recipe.simulate.primitives import F32, U8, Mesh, Rng, labelled_mesh

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Denser meshes are thinned to this many triangles: a scan could not tell the difference.
_MAX_TRIANGLES = 30_000
_MAX_LEAVES = 9_000
_LEAFY = ("tree crown", "bush", "hedge")
_VEHICLES = (
    "car",
    "van",
    "truck",
    "bus",
    "pickup truck",
    "taxi",
    "police car",
    "ambulance",
    "motorcycle",
    "motor scooter",
    "tram",
)


@dataclass(frozen=True)
class CatalogueMesh:
    """A ready-made mesh.

    Attributes:
        name: its name in the catalogue.
        path: its file.
        concept: the concept of its triangles, unless ``parts`` says otherwise.
        longest_m: its longest extent in metres; 0 keeps the file's scale.
        turn_deg: rotation about z in degrees after which it faces +x.
        parts: concepts of surfaces by a pattern of the file's names for them.
        up: the axis that points up in a glTF file.
        trunk: up to which share of its height what is near a tree's axis is its trunk.
    """

    name: str
    path: Path
    concept: str
    longest_m: float
    turn_deg: float
    parts: tuple[tuple[str, str], ...] = ()
    up: str = "y"
    trunk: float = 0.0

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
        options: dict[str, Any] = row[4] if len(row) > 4 else {}
        for path in sorted(unpacked.glob(pattern))[:1]:
            catalogue[name] = CatalogueMesh(
                name,
                path,
                concept,
                float(longest_m),
                float(turn_deg),
                tuple((key, part) for key, part in options.items() if key[0] != "@"),
                options.get("@up", "y"),
                options.get("@trunk", 0.0),
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
    if not names:
        return None
    return repainted(catalogue[names[int(rng.integers(len(names)))]].mesh, rng)


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
    corners = read.triangles
    if entry.up == "z":
        # `read_mesh_file` took y for the axis that points up.
        corners = np.stack([corners[..., 0], corners[..., 2], -corners[..., 1]], axis=-1)
    triangles = _normalized(corners, entry.longest_m, entry.turn_deg)
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
    most = _MAX_LEAVES if entry.concept in _LEAFY else _MAX_TRIANGLES
    if len(kept) > most:
        # The largest, and any others: the shape stays where it matters.
        drawn = np.random.default_rng(0).random(len(kept)) * area[kept] ** 0.7
        kept = np.sort(kept[np.argsort(-drawn)[:most]])
    mesh = mesh[kept]
    if entry.trunk:
        mesh = _with_trunk(mesh, entry.trunk)
    if entry.concept in _VEHICLES:
        mesh = _with_glass_and_tires(mesh)
    if entry.concept == "traffic sign":
        mesh = _with_post(mesh)
    if entry.concept == "person" and "sh_standing" in entry.name:
        mesh = _dressed(mesh)
    return mesh


def _with_post(mesh: Mesh) -> Mesh:
    """Return a traffic sign in which all that is near its axis is a pole."""
    is_post = np.abs(mesh.triangles[:, :, :2]).max(axis=(1, 2)) < 0.07
    return replace(
        mesh,
        label=np.where(is_post, concept_index("pole"), mesh.label).astype(np.uint16),
        material=np.where(is_post, material_index("steel"), mesh.material).astype(np.uint8),
    )


def _dressed(mesh: Mesh) -> Mesh:
    """Return a standing person of one colour with hair, skin, shirt, trousers and shoes."""
    if len(np.unique(mesh.color, axis=0)) > 3:
        return mesh
    level = mesh.triangles[:, :, 2].mean(axis=1) / float(mesh.triangles[..., 2].max())
    names = ("rubber", "trousers", "fabric", "skin", "hair")
    part = np.searchsorted([0.05, 0.48, 0.86, 0.94], level)
    material = np.array([material_index(name) for name in names], dtype=np.uint8)[part]
    return replace(mesh, material=material, color=np.zeros_like(mesh.color))


def _with_trunk(mesh: Mesh, share: float) -> Mesh:
    """Return a tree in which what is near the axis, up to a share of the height, is the trunk."""
    middle = mesh.triangles.mean(axis=1)
    height = float(middle[:, 2].max())
    foot = middle[middle[:, 2] < 0.06 * height]
    axis = foot[:, :2].mean(axis=0) if len(foot) else np.zeros(2)
    distance = np.linalg.norm(middle[:, :2] - axis, axis=1)
    is_trunk = (middle[:, 2] < share * height) & (distance < 0.06 * height)
    index, material = concept_index("tree trunk"), material_index("bark")
    return replace(
        mesh,
        label=np.where(is_trunk, index, mesh.label).astype(np.uint16),
        material=np.where(is_trunk, material, mesh.material).astype(np.uint8),
        color=np.where(is_trunk[:, None] | _is_placeholder(mesh.color)[:, None], 0, mesh.color),
    )


def _with_glass_and_tires(mesh: Mesh) -> Mesh:
    """Return a vehicle without named surfaces whose dark parts are panes above, tires below."""
    if (mesh.material != mesh.material[0]).any():
        return mesh
    middle = mesh.triangles.mean(axis=1)
    level = middle[:, 2] / max(float(middle[:, 2].max()), 0.1)
    is_dark = mesh.color.max(axis=1) < 70
    material = np.where(is_dark & (level > 0.45), material_index("car_glass"), mesh.material)
    material = np.where(is_dark & (level < 0.35), material_index("rubber"), material)
    return replace(mesh, material=material.astype(np.uint8))


def _is_placeholder(color: U8) -> NDArray[np.bool_]:
    """Return (T,) where colours are mid-grey to white, as of parts whose texture is missing."""
    color = color.astype(np.int64)
    return np.asarray((np.ptp(color, axis=1) <= 4) & (color[:, 0] >= 110) & (color[:, 0] <= 255))


def repainted(mesh: Mesh, rng: Rng) -> Mesh:
    """Return a ready-made mesh in its own colours or in others of its materials' palettes."""
    color = mesh.color
    key = (color[:, 0].astype(np.int64) * 256 + color[:, 1]) * 256 + color[:, 2]
    values, group, counts = np.unique(key, return_inverse=True, return_counts=True)
    bare = _is_placeholder(color) & (rng.random() < 0.8)
    if rng.random() < 0.6 and len(values) < 40:
        # What most of the object has, such as the paint of a car.
        bare |= group == np.argmax(counts)
    return replace(mesh, color=np.where(bare[:, None], 0, color).astype(np.uint8)).painted(rng)


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
