"""Registry of replaceable parts: formats, backends, encoders, data sets, teachers.

To add a part to clip3d, add its file and an entry ``name: "module:attribute"`` here. Another
package adds a part by an entry point in the group ``clip3d.<kind>``. A module is imported only when
its part is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clip3d_cli.errors import UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

Kind = Literal["formats", "backends", "text_encoders", "point_encoders", "datasets", "teachers"]

_ENTRIES: dict[Kind, dict[str, str]] = {
    "formats": {
        "ply": "clip3d_cli.formats.ply.format:PlyFormat",
        "las": "clip3d_cli.formats.las.format:LasFormat",
        "pcd": "clip3d_cli.formats.pcd.format:PcdFormat",
        "npy": "clip3d_cli.formats.npy.format:NumpyFormat",
        # Last, because it is recognized by the file name only, not by the first bytes.
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
    """Return the names of all parts of a kind: clip3d's own, then those of other packages."""
    others = sorted(point.name for point in _entry_points(kind))
    return [*_ENTRIES[kind], *(name for name in others if name not in _ENTRIES[kind])]


def shipped_names(kind: Kind) -> list[str]:
    """Return the names of the parts that are shipped with clip3d.

    Unlike `names`, it does not search the installed packages, which takes too long for ``--help``.

    Args:
        kind: kind of part.
    """
    return list(_ENTRIES[kind])


def load(kind: Kind, name: str) -> Any:
    """Import a part and return it, a class or a function.

    Raises:
        UsageError: E_UNKNOWN_NAME: nothing is registered under that name.
    """
    target = _ENTRIES[kind].get(name)
    if target is None:
        for point in _entry_points(kind):
            if point.name == name:
                return point.load()
        raise unknown_name_error(kind.replace("_", " "), name, names(kind))
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def load_all(kind: Kind) -> Iterator[Any]:
    """Import and yield all parts of a kind: clip3d's own, then those of other packages.

    Other packages are searched only after the last of clip3d's own parts, because that is slow.
    """
    for name in _ENTRIES[kind]:
        yield load(kind, name)
    for point in sorted(_entry_points(kind), key=lambda point: point.name):
        if point.name not in _ENTRIES[kind]:
            yield point.load()


def package_folder(kind: Kind, name: str) -> Path:
    """Return the folder of the package that contains a part, without importing the part.

    Raises:
        UsageError: E_UNKNOWN_NAME: nothing is registered under that name.
        ImportError: the module of the part does not exist.
    """
    from importlib.util import find_spec

    target = _ENTRIES[kind].get(name)
    for point in _entry_points(kind) if target is None else ():
        if point.name == name:
            target = point.value
    if target is None:
        raise unknown_name_error(kind.replace("_", " "), name, names(kind))
    spec = find_spec(target.partition(":")[0].strip())
    if spec is None or spec.origin is None:
        raise ImportError(f"{target} cannot be imported", name=target)
    return Path(spec.origin).parent


def unknown_name_error(where: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown name; its remedy lists the known names.

    Args:
        where: option or kind of name, for the message.
        name: the unknown name.
        known: all valid names; one that is similar to ``name`` is suggested.
    """
    import difflib

    known = list(known)
    similar = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {similar[0]}? " if similar else ""
    return UsageError(
        "E_UNKNOWN_NAME", where, f"there is no {name!r}", f"{hint}There is: {', '.join(known)}."
    )


def _entry_points(kind: Kind) -> EntryPoints:
    # Imported here because the import takes as long as labelling a few thousand points.
    from importlib.metadata import entry_points

    return entry_points(group=f"clip3d.{kind}")
