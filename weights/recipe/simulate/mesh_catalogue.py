"""Ready-made 3-D meshes from archives, each with a concept and scaled to its true size.

``mesh_catalogue.toml`` lists the meshes. Meshes whose files are missing are left out, so the
simulator also works without any archive.
"""

import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from weights.recipe.simulate.mesh_files import read_mesh_file, rotation_xyz
from weights.recipe.simulate.primitives import F32, Mesh, Rng, labelled_mesh

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class CatalogueMesh:
    """A ready-made mesh.

    Attributes:
        mesh: triangles in metres, centred on the origin, with their lowest point at z = 0.
        concept: the concept of all its triangles.
    """

    mesh: Mesh
    concept: str


Catalogue = Mapping[str, CatalogueMesh]


@lru_cache(maxsize=2)
def read_catalogue(folder: Path | None) -> Catalogue:
    """Return the catalogue's meshes by name, as far as their files exist.

    Args:
        folder: folder with the archives ``meshes/*.tar.xz``; None gives an empty catalogue.
    """
    if folder is None or not (folder / "meshes").is_dir():
        return {}
    unpacked = _unpack(folder / "meshes")
    text = Path(__file__).with_name("mesh_catalogue.toml").read_text(encoding="utf-8")
    catalogue = {}
    for name, (pattern, concept, longest_m, turn_deg) in tomllib.loads(text)["meshes"].items():
        for path in sorted(unpacked.glob(pattern))[:1]:
            triangles = _normalized(read_mesh_file(path), float(longest_m), float(turn_deg))
            catalogue[name] = CatalogueMesh(labelled_mesh(concept, triangles), concept)
    return catalogue


def draw_from_catalogue(catalogue: Catalogue, concept: str, rng: Rng) -> Mesh | None:
    """Return a random mesh of a concept, or None if the catalogue has none."""
    meshes = [entry.mesh for entry in catalogue.values() if entry.concept == concept]
    return meshes[int(rng.integers(len(meshes)))] if meshes else None


def _unpack(folder: Path) -> Path:
    """Return a temporary folder with the unpacked archives; unpack each archive once."""
    target = Path(gettempdir()) / "clip3d-recipe-meshes"
    for archive in sorted(folder.glob("*.tar.xz")):
        done = target / (archive.name + ".done")
        if not done.exists():
            target.mkdir(parents=True, exist_ok=True)
            with tarfile.open(archive) as packed:
                packed.extractall(target / archive.name.split(".")[0], filter="data")
            done.touch()
    return target


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
