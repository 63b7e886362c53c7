"""The classes that a command asks for: any words, or some that the weights were trained on."""

from __future__ import annotations

from pathlib import Path

from clip3d_cli.commands.classes import chosen_vocabulary
from clip3d_cli.commands.label_request import EngineChoice
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.core.words import Vocabulary
from clip3d_cli.encoders.closed import closed_vocabulary
from clip3d_cli.encoders.stored import read_spec, require_closed
from clip3d_cli.errors import UsageError


def asked_vocabulary(
    choice: EngineChoice, classes: str | None, vocabulary: str | None, voice: Voice
) -> Vocabulary:
    """The classes that --classes or --vocabulary ask for; all of a closed head's if none is given.

    Of the weights it reads what they say of themselves, not the network.

    Args:
        choice: the weights and their head.
        classes: see `chosen_vocabulary`; None if not given.
        vocabulary: the name of a vocabulary that clip3d brings; None if not given.
        voice: hears which names were given twice.

    Raises:
        UsageError: both are given, or none to the text head, or a class that the closed head was
            not trained on.
        SetupError: E_WEIGHTS: the file has no closed head, and it was asked for.
    """
    if choice.head == "text":
        return chosen_vocabulary(classes, vocabulary, voice)
    given = classes is not None or vocabulary is not None
    wanted = chosen_vocabulary(classes, vocabulary, voice) if given else None
    closed = require_closed(read_spec(choice.weights), choice.weights)
    return closed_vocabulary(closed, wanted)


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
