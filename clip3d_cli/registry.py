"""The parts by name: a row here is all that a new part needs besides its own file.

A row is ``name: "module:attribute"``; the module is imported when the part is asked for.
Packages add rows through entry points in the group ``clip3d.<kind>``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clip3d_cli.errors import SetupError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

Kind = Literal["formats", "backends", "text_encoders", "point_encoders", "datasets", "teachers"]

DEFAULT_WEIGHTS = "points-default"
_PICKLES = frozenset({".pth", ".pt", ".ckpt", ".pkl"})

_ROWS: dict[Kind, dict[str, str]] = {
    "formats": {
        "ply": "clip3d_cli.formats.ply.format:PlyFormat",
        "las": "clip3d_cli.formats.las.format:LasFormat",
        "pcd": "clip3d_cli.formats.pcd.format:PcdFormat",
        "npy": "clip3d_cli.formats.npy.format:NumpyFormat",
        # Last: it has no first bytes to go by, only its name.
        "bin": "clip3d_cli.formats.bin.format:BinFormat",
    },
    "backends": {
        "native": "clip3d_cli.sparse.backends.native.backend:NativeBackend",
        "torch": "clip3d_cli.sparse.backends.torch.backend:TorchBackend",
        "triton": "clip3d_cli.sparse.backends.triton.backend:TritonBackend",
        "torchsparse": "clip3d_cli.sparse.backends.torchsparse:TorchsparseBackend",
        "spconv": "clip3d_cli.sparse.backends.spconv:SpconvBackend",
    },
    "text_encoders": {
        "mini": "clip3d_cli.text.mini.encoder:MiniTextEncoder",
        "openclip": "clip3d_cli.text.openclip.model:OpenClipTextEncoder",
    },
    "point_encoders": {
        "minkunet": "clip3d_cli.encoders.minkunet:MinkUNet",
        "spvcnn": "clip3d_cli.encoders.spvcnn:SPVCNN",
    },
    "datasets": {
        "nuscenes": "clip3d_cli.datasets.nuscenes.dataset:NuScenes",
        "semantickitti": "clip3d_cli.datasets.semantickitti.dataset:SemanticKitti",
        "scannet": "clip3d_cli.datasets.scannet.dataset:ScanNet",
        "scannet200": "clip3d_cli.datasets.scannet.scannet200:ScanNet200",
        "pandaset": "clip3d_cli.datasets.pandaset.dataset:PandaSet",
        "folder": "clip3d_cli.datasets.folder.dataset:Folder",
    },
    "teachers": {
        "openclip": "clip3d_cli.teachers.openclip:OpenClipTeacher",
    },
}


def names(kind: Kind) -> list[str]:
    """The names of all parts of a kind, ours first, then those of installed packages."""
    plugged = sorted(point.name for point in _plugged(kind))
    return [*_ROWS[kind], *(name for name in plugged if name not in _ROWS[kind])]


def shipped_names(kind: Kind) -> list[str]:
    """Return the names of the parts that are shipped with clip3d.

    Unlike `names`, it does not search the installed packages, which takes too long for ``--help``.

    Args:
        kind: kind of part.
    """
    return list(_ROWS[kind])


def parts(kind: Kind) -> Iterator[Any]:
    """All parts of a kind, ours first; installed packages are asked when ours are used up."""
    for name in _ROWS[kind]:
        yield part(kind, name)
    for point in sorted(_plugged(kind), key=lambda point: point.name):
        if point.name not in _ROWS[kind]:
            yield point.load()


def part(kind: Kind, name: str) -> Any:
    """The class or function registered under a name.

    Raises:
        UsageError: nothing has that name; it lists what there is.
    """
    target = _ROWS[kind].get(name)
    if target is None:
        for point in _plugged(kind):
            if point.name == name:
                return point.load()
        raise unknown_name(kind.replace("_", " "), name, names(kind))
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def part_folder(kind: Kind, name: str) -> Path:
    """Return the folder of the package that a part is in; the part itself is not imported.

    Args:
        kind: kind of part.
        name: registered name.

    Raises:
        UsageError: E_UNKNOWN_NAME: nothing is registered under that name.
    """
    from importlib.util import find_spec

    target = _ROWS[kind].get(name)
    for point in _plugged(kind) if target is None else ():
        if point.name == name:
            target = point.value
    if target is None:
        raise unknown_name(kind.replace("_", " "), name, names(kind))
    spec = find_spec(target.partition(":")[0].strip())
    if spec is None or spec.origin is None:
        raise ImportError(f"{target} cannot be imported", name=target)
    return Path(spec.origin).parent


def unknown_name(where: str, name: str, known: Iterable[str]) -> UsageError:
    """The refusal of a name that is not among the known ones, with the nearest of them."""
    import difflib

    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return UsageError(
        "E_UNKNOWN_NAME", where, f"there is no {name!r}", f"{hint}There is: {', '.join(known)}."
    )


def _plugged(kind: Kind) -> EntryPoints:
    # Imported where it is needed: it takes as long as labelling a few thousand points.
    from importlib.metadata import entry_points

    return entry_points(group=f"clip3d.{kind}")


def weights_folders() -> list[Path]:
    """Where weights are looked for: ``CLIP3D_WEIGHTS``, the installed package, the checkout."""
    package = Path(__file__).resolve().parent
    folders = [package / "weights", package.parent / "weights"]
    if os.environ.get("CLIP3D_WEIGHTS"):
        folders.insert(0, Path(os.environ["CLIP3D_WEIGHTS"]))
    return folders


def is_weights_name(text: str) -> bool:
    """Whether a text names weights that clip3d brings, and is no path."""
    path = Path(text)
    return path.parent == Path() and path.suffix.lower() != ".safetensors" and not path.is_dir()


def weights_path(text: str) -> Path:
    """The file of weights, by name or path.

    Raises:
        SetupError: there is none, or it is a pickle, which may run code when it is read.
    """
    path = Path(text)
    if path.suffix.lower() in _PICKLES:
        raise SetupError(
            "E_PICKLE",
            path,
            "may run code when it is read, so clip3d does not read it",
            "Use weights in safetensors format.",
        )
    if is_weights_name(text):
        return weights_file(text)
    if not path.exists():
        raise SetupError("E_WEIGHTS", path, "is not there", "Check the path in --weights.")
    return path


def weights_file(name: str) -> Path:
    """The file of a set of weights that clip3d brings, by its name without suffix.

    Raises:
        SetupError: it is in none of the folders.
    """
    for folder in weights_folders():
        path = folder / f"{name}.safetensors"
        if path.is_file():
            return path
    places = ", ".join(str(folder) for folder in weights_folders())
    raise SetupError(
        "E_WEIGHTS", name, f"is not in {places}", "Install clip3d again, or set CLIP3D_WEIGHTS."
    )
