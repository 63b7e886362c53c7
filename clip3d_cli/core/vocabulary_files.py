"""The vocabularies that clip3d ships, by name."""

from __future__ import annotations

from pathlib import Path

from clip3d_cli import registry
from clip3d_cli.core.vocabulary import Vocabulary

_FOLDER = Path(__file__).resolve().parents[1] / "vocabularies"


def vocabulary_names() -> list[str]:
    """Return the names of all vocabularies, sorted."""
    return sorted(_files())


def vocabulary_file(name: str) -> Path:
    """Return the TOML file of a vocabulary.

    Args:
        name: its name. The number of classes may be left out where that is unambiguous:
            ``semantickitti`` means ``semantickitti19``.

    Raises:
        UsageError: no vocabulary, or more than one, has that name.
    """
    files = _files()
    if name not in files:
        matches = [full for full in files if full.rstrip("0123456789") == name]
        if len(matches) != 1:
            raise registry.unknown_name("--vocabulary", name, sorted(files))
        name = matches[0]
    return files[name]


def named_vocabulary(name: str) -> Vocabulary:
    """Read the vocabulary of a name.

    Args:
        name: see `vocabulary_file`.

    Raises:
        UsageError: no vocabulary, or more than one, has that name.
    """
    return Vocabulary.read(vocabulary_file(name))


def _files() -> dict[str, Path]:
    """Return every vocabulary file by name: general ones, then those of the data sets."""
    folders = [_FOLDER]
    for dataset in registry.names("datasets"):
        folders.append(registry.part_folder("datasets", dataset) / "vocabularies")
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
