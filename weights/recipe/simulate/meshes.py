"""Named 3-D models from archives, each with a concept and a true size.

The catalogue (``catalogue.toml``) says which model is what; models that are not in the folder are
left out, so that the simulator works without any.
"""

import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import gettempdir
from xml.etree import ElementTree

import numpy as np

from weights.recipe.simulate.collada import read_dae, read_obj
from weights.recipe.simulate.primitives import F32, Rng, Soup, soup

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True)
class Model:
    """A body on the origin, z = 0 at its lowest point, and what it is."""

    body: Soup
    concept: str


@lru_cache(maxsize=2)
def models(folder: Path | None) -> Mapping[str, Model]:
    """Return the catalogue's models found in the archives of ``folder``/meshes by name."""
    if folder is None or not (folder / "meshes").is_dir():
        return {}
    unpacked = _unpack(folder / "meshes")
    text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    found = {}
    for name, (file, concept, longest, turn) in tomllib.loads(text)["models"].items():
        for path in sorted(unpacked.glob(file))[:1]:
            triangles = _fitted(_read(path), float(longest), float(turn))
            found[name] = Model(soup(concept, triangles), concept)
    return found


def pick(found: Mapping[str, Model], concept: str, rng: Rng) -> Soup | None:
    """Return a random model of a concept, or None if there is none."""
    fit = [model.body for model in found.values() if model.concept == concept]
    return fit[int(rng.integers(len(fit)))] if fit else None


def _unpack(folder: Path) -> Path:
    target = Path(gettempdir()) / "clip3d-recipe-meshes"
    for archive in sorted(folder.glob("*.tar.xz")):
        done = target / (archive.name + ".done")
        if not done.exists():
            target.mkdir(parents=True, exist_ok=True)
            with tarfile.open(archive) as packed:
                packed.extractall(target / archive.name.split(".")[0], filter="data")
            done.touch()
    return target


def _read(path: Path) -> F32:
    if path.suffix == ".sdf":
        return _read_sdf(path)
    if path.suffix.lower() == ".dae":
        return read_dae(path)
    corners = read_obj(path)
    # KayKit's models have y up.
    return np.asarray(np.stack([corners[..., 0], -corners[..., 2], corners[..., 1]], axis=-1))


def _read_sdf(path: Path) -> F32:
    """Return all meshes that a Gazebo model shows, in place."""
    parts = []
    for visual in ElementTree.parse(path).getroot().iter("visual"):
        uri, scale = (
            visual.findtext("./geometry/mesh/uri"),
            visual.findtext("./geometry/mesh/scale"),
        )
        if not uri:
            continue
        file = path.parent.parent / uri.removeprefix("model://")
        corners = read_dae(file) if file.suffix.lower() == ".dae" else read_obj(file)
        corners = corners * np.array((scale or "1 1 1").split(), dtype=np.float32)
        pose = np.array((visual.findtext("pose") or "0 0 0 0 0 0").split(), dtype=np.float32)
        parts.append(corners @ _euler(pose[3:]).T + pose[:3])
    return np.concatenate(parts)


def _euler(angle: F32) -> F32:
    (cr, cp, cy), (sr, sp, sy) = np.cos(angle), np.sin(angle)
    roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(yaw @ pitch @ roll, dtype=np.float32)


def _fitted(triangles: F32, longest: float, turn: float) -> F32:
    """Scale to ``longest`` metres (0: as it is), turn by ``turn`` degrees, stand on the origin."""
    angle = np.radians(turn)
    matrix = _euler(np.array([0, 0, angle], dtype=np.float32))
    turned = triangles @ matrix.T
    low, high = turned.reshape(-1, 3).min(axis=0), turned.reshape(-1, 3).max(axis=0)
    middle = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    scale = longest / float((high - low).max()) if longest > 0 else 1.0
    return np.asarray((turned - middle) * scale, dtype=np.float32)
