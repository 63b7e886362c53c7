"""A vocabulary's words as vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clip3d_cli.core.vocabulary import ClassEmbeddings, Vocabulary
from clip3d_cli.text.encoder import TextEncoder, unit_rows
from clip3d_cli.text.templates import check_template, fill


def embed_vocabulary(
    vocabulary: Vocabulary, encoder: TextEncoder, templates: Sequence[str]
) -> ClassEmbeddings:
    """Give one unit vector per word: the mean over its templates, made unit length again.

    The words of a class stay apart, so that a class can be as near as its nearest word.
    Averaging over templates follows Radford et al. 2021, section 3.1.4.

    Args:
        vocabulary: K classes with their words.
        encoder: embeds the filled templates.
        templates: at least one, each with one ``{}``.

    Raises:
        UsageError: a template without ``{}`` or with several.
    """
    for template in templates:
        check_template(template, "templates")
    words = [word for entry in vocabulary.classes for word in entry.words]
    class_of_vector = [k for k, entry in enumerate(vocabulary.classes) for _ in entry.words]
    prompts = [prompt for word in words for prompt in fill(templates, word)]
    per_template = encoder(prompts).reshape(len(words), len(templates), encoder.space.dim)
    return ClassEmbeddings(
        vectors=unit_rows(per_template.mean(axis=1)),
        class_of_vector=np.array(class_of_vector, dtype=np.int32),
        vocabulary=vocabulary,
        space=encoder.space,
    )


def truncated_words(
    vocabulary: Vocabulary, encoder: TextEncoder, templates: Sequence[str]
) -> list[str]:
    """List the words that are too long for the encoder in the longest template."""
    longest = max(templates, key=len)
    words = dict.fromkeys(word for entry in vocabulary.classes for word in entry.words)
    return [word for word in words if encoder.is_truncated(longest.replace("{}", word))]
