"""The vocabularies that clip3d brings, by name."""

from __future__ import annotations

from pathlib import Path

from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.registry import unknown_name

_FOLDER = Path(__file__).resolve().parents[1] / "vocabularies"


def vocabulary_names() -> list[str]:
    """The names of all vocabularies, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def vocabulary_file(name: str) -> Path:
    """The TOML file of a vocabulary.

    Args:
        name: its name, which may leave out the number of classes where that is clear:
            ``semantickitti`` is ``semantickitti19``.

    Raises:
        UsageError: there is none of that name, or more than one; it lists what there is.
    """
    known = vocabulary_names()
    if name not in known:
        fits = [full for full in known if full.rstrip("0123456789") == name]
        if len(fits) != 1:
            raise unknown_name("--vocabulary", name, known)
        name = fits[0]
    return _FOLDER / f"{name}.toml"


def named_vocabulary(name: str) -> Vocabulary:
    """The vocabulary of a name.

    Raises:
        UsageError: there is none of that name, or more than one.
    """
    return Vocabulary.read(vocabulary_file(name))
