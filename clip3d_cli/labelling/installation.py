"""Installed packages, and what they are sufficient for.

Labelling on a CPU with the mini text encoder needs few packages. All others that clip3d depends on
(PyTorch above all) are for GPUs, training, data sets and open_clip's encoders.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from clip3d_cli.errors import Code, SetupError

# requirements-light.txt and docs/guides/light-install.md name the same packages: a test compares.
LABELLING_PACKAGES = (
    "laspy",
    "lazrs",
    "numpy",
    "pillow",
    "plyfile",
    "rich",
    "safetensors",
    *(("tomli",) if sys.version_info < (3, 11) else ()),
    "typer",
)


@dataclass(frozen=True, slots=True)
class Installation:
    """Packages that clip3d depends on, by whether they are installed.

    Attributes:
        versions: version of every installed package, by its name.
        missing: packages without which clip3d cannot label at all.
        left_out: packages that are not installed and that labelling on a CPU does not need.
    """

    versions: Mapping[str, str]
    missing: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def is_light(self) -> bool:
        """Whether clip3d can label on a CPU, but not all of its packages are installed."""
        return not self.missing and bool(self.left_out)


def check_installation() -> Installation:
    """Look up which of the packages that clip3d depends on are installed; none is imported."""
    # Imported here because the import takes as long as labelling a few thousand points.
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, str] = {}
    absent = []
    for name in dict.fromkeys((*LABELLING_PACKAGES, *_declared_packages())):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            absent.append(name)
    return Installation(
        versions,
        tuple(name for name in absent if name in LABELLING_PACKAGES),
        tuple(name for name in absent if name not in LABELLING_PACKAGES),
    )


def has_torch() -> bool:
    """Return whether PyTorch is installed, without importing it, which takes seconds."""
    return find_spec("torch") is not None


def require_torch(code: Code, where: str, reason: str, remedy: str) -> None:
    """Check that PyTorch is installed.

    Args:
        code: code of the error.
        where: option or part that needs it, for the message.
        reason: why it is needed, the end of "needs PyTorch, which is not installed: …".
        remedy: what the user can do instead of installing it, a clause.

    Raises:
        SetupError: PyTorch is not installed.
    """
    if not has_torch():
        raise SetupError(
            code,
            where,
            f"needs PyTorch, which is not installed: {reason}",
            f"Install it with pip install torch, or {remedy}.",
        )


def _declared_packages() -> list[str]:
    """Return the packages that clip3d's metadata requires on every machine, without extras."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        declared = requires("clip3d") or []
    except PackageNotFoundError:
        return []
    # A marker after a semicolon is an extra, or tomli's version of Python.
    return [re.split(r"[^\w.-]", entry, maxsplit=1)[0] for entry in declared if ";" not in entry]
