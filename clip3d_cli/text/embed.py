"""Embedding of the words of a vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.text.encoder import TextEncoder, normalize_rows
from clip3d_cli.text.templates import check_template, fill_templates


def embed_vocabulary(
    vocabulary: Vocabulary, encoder: TextEncoder, templates: Sequence[str]
) -> ClassEmbeddings:
    """Return one unit vector per word: the normalized mean over all templates.

    The words of a class keep separate vectors, so that the similarity to a class can be the
    highest similarity to one of its words. Averaging over templates follows Radford et al. 2021,
    section 3.1.4.

    Args:
        vocabulary: K classes with W words in total.
        encoder: text encoder.
        templates: T ≥ 1 templates, each with one ``{}``.

    Raises:
        UsageError: E_TEMPLATES: a template does not have exactly one ``{}``.
    """
    for template in templates:
        check_template(template, "templates")
    words = [word for entry in vocabulary.classes for word in entry.words]
    class_of_vector = [k for k, entry in enumerate(vocabulary.classes) for _ in entry.words]
    # The T prompts of the first word, then those of the second, …: (W · T, D) → (W, T, D).
    prompts = [prompt for word in words for prompt in fill_templates(templates, word)]
    per_template = encoder(prompts).reshape(len(words), len(templates), encoder.space.dim)
    return ClassEmbeddings(
        vectors=normalize_rows(per_template.mean(axis=1)),
        class_of_vector=np.array(class_of_vector, dtype=np.int32),
        vocabulary=vocabulary,
        space=encoder.space,
    )


def find_truncated_words(
    vocabulary: Vocabulary, encoder: TextEncoder, templates: Sequence[str]
) -> list[str]:
    """Return the words that are too long for the encoder in the longest template."""
    longest = max(templates, key=len)
    words = dict.fromkeys(word for entry in vocabulary.classes for word in entry.words)
    return [word for word in words if encoder.is_truncated(longest.replace("{}", word))]
