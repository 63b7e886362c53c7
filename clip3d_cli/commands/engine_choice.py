"""Which models a command line asks for, found before any of them is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clip3d_cli import registry
from clip3d_cli.errors import UsageError
from clip3d_cli.text.templates import read_templates, template_sets, templates_named

if TYPE_CHECKING:
    from clip3d_cli.encoders.spec import HeadName
    from clip3d_cli.sparse.backend import Precision

USUAL_TEMPLATES = "photo"


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which models are asked for.

    Attributes:
        weights: the file of the point network.
        text_encoder: its name, with model and tag after a colon; None takes the weights' own.
        templates: sentences around words, each with one ``{}``; for the text head.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: of the network's matrix products.
        backend: ``auto``, or a name of kind ``backends`` in the registry.
        seed: of all randomness.
        head: ``text`` answers any words, ``closed`` the classes the weights were trained on.
    """

    weights: Path
    text_encoder: str | None
    templates: tuple[str, ...]
    device: str = "auto"
    precision: Precision | Literal["auto"] = "auto"
    backend: str = "auto"
    seed: int = 0
    head: HeadName = "text"


def chosen_templates(name: str | None) -> tuple[str, ...]:
    """The sentences around words: a named set, a user's file, or the usual set.

    Raises:
        UsageError: there is no such set or file, or a line of the file has no place for a word.
    """
    if name is None:
        return templates_named(USUAL_TEMPLATES)
    if name in template_sets():
        return templates_named(name)
    path = Path(name)
    return read_templates(path) if path.suffix or path.is_file() else templates_named(name)


def known_text_encoder(name: str | None) -> str | None:
    """The name itself, such as ``mini`` or ``openclip:ViT-B-32/openai``.

    Raises:
        UsageError: there is no text encoder of that kind.
    """
    if name is None:
        return None
    kind, colon, _ = name.partition(":")
    if kind not in registry.names("text_encoders"):
        raise registry.unknown_name("--text-encoder", name, registry.names("text_encoders"))
    if colon and kind == "mini":
        raise UsageError(
            "E_UNKNOWN_NAME", "--text-encoder", "mini is one model", "Write --text-encoder mini."
        )
    return name


def refuse_text_options(
    templates: str | None, text_encoder: str | None, prompts: Path | None = None
) -> None:
    """Refuse options that only words have a use for.

    Raises:
        UsageError: one of them is given.
    """
    given = {"--templates": templates, "--text-encoder": text_encoder, "--prompts": prompts}
    for option, value in given.items():
        if value is not None:
            raise UsageError(
                "E_USAGE",
                option,
                "has no use with --head closed, which reads no words",
                "Leave it out, or go by words with --head text.",
            )
