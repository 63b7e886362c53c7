"""Files of model weights: those that are shipped with clip3d, by name, and others, by path."""

from __future__ import annotations

import os
from pathlib import Path

from clip3d_cli.errors import SetupError

DEFAULT_WEIGHTS = "points-default"
_SUFFIX = ".safetensors"
_PICKLE_SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".pkl"})


def weights_folders() -> list[Path]:
    """Return the folders that are searched for shipped weights, in order.

    They are the folder in the environment variable ``CLIP3D_WEIGHTS``, if set, the one in the
    installed package, and the one beside the package in a clone of the repository.
    """
    package = Path(__file__).resolve().parent
    folders = [package / "weights", package.parent / "weights"]
    if os.environ.get("CLIP3D_WEIGHTS"):
        folders.insert(0, Path(os.environ["CLIP3D_WEIGHTS"]))
    return folders


def is_weights_name(text: str) -> bool:
    """Return whether a text is a name of shipped weights rather than a path."""
    path = Path(text)
    return path.parent == Path() and path.suffix.lower() != _SUFFIX and not path.is_dir()


def find_weights(text: str) -> Path:
    """Return the weights file of a name or path.

    Args:
        text: name of shipped weights, such as ``points-default``, or path of a safetensors file.

    Raises:
        SetupError: E_WEIGHTS: there is no such file; E_PICKLE: it is a pickle, which could run
            code when it is read.
    """
    path = Path(text)
    if path.suffix.lower() in _PICKLE_SUFFIXES:
        raise SetupError(
            "E_PICKLE",
            path,
            "is a pickle, which may run code when it is read",
            "Use weights in safetensors format.",
        )
    if is_weights_name(text):
        return shipped_weights(text)
    if not path.exists():
        raise SetupError("E_WEIGHTS", path, "is not there", "Check the path in --weights.")
    return path


def shipped_weights(name: str) -> Path:
    """Return the file of shipped weights.

    Args:
        name: file name without its suffix, such as ``points-default``.

    Raises:
        SetupError: E_WEIGHTS: none of the folders contains it.
    """
    folders = weights_folders()
    for folder in folders:
        path = folder / f"{name}{_SUFFIX}"
        if path.is_file():
            return path
    raise SetupError(
        "E_WEIGHTS",
        name,
        f"is not in {', '.join(map(str, folders))}",
        "Check the name, or set CLIP3D_WEIGHTS to the folder that contains it.",
    )
