"""Requested words: what is embedded for them, and warnings about words that give wrong labels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.concepts import Concept, concept_of_word
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.warnings import LabelWarning
from clip3d_cli.text.encoder import TextEncoder, normalize_rows
from clip3d_cli.text.english import (
    corrected_word,
    english_words,
    is_compound,
    is_english,
    nearest_spelling,
    normalized,
    singular_forms,
    tokens,
)

Status = Literal["known", "by parts", "unknown"]
Floats = npt.NDArray[np.float32]

# Words of other feature spaces may be of any language.
_ENGLISH_SPACE = "openclip/ViT-B-32/openai"
_WHERE = "--classes"
# Below this cosine (of vectors minus the mean of all trained words) the nearest trained word has
# nothing to do with a word: "guitar" has 0.3, "snow" 0.33, "jeep" 0.54, "tyre" 0.91.
_LEAST_SIMILARITY = 0.4
_NEGATION = re.compile(
    r"\b(not|isn't|aren't|without|except|excluding|neither|nor)\b|^(no|non)\b"
    r"|^(any|every)thing (but|else)\b"
)
# "no parking sign" is the name of a thing.
_SIGN = re.compile(r"^no\b.*\bsigns?$")
_PROMPT = "a photo of a {}."
# The name of one thing can be made of the names of two: "car door".
_MOST_CONCEPTS = 2


@dataclass(frozen=True, slots=True)
class WordReport:
    """What is known about one requested word.

    Attributes:
        class_name: class that the word belongs to.
        word: the word as it was requested.
        status: "known" to the text encoder itself, known "by parts", or "unknown".
        concept: the trained concept that it names, or None.
        embedded: the word whose vector stands for it.
        nearest: name of the trained concept with the nearest word; None if the weights do not say
            what they were trained on.
        similarity: cosine to that word, after subtraction of the mean of all trained words.
        confused_with: the other class of the list with the nearest word; None if there is none.
    """

    class_name: str
    word: str
    status: Status
    concept: Concept | None
    embedded: str
    nearest: Concept | None
    similarity: float | None
    confused_with: str | None

    @property
    def iou(self) -> Mapping[str, float]:
        """IoU of its concept by kind of validation scans; empty if it names none."""
        return {} if self.concept is None else self.concept.iou


class WordChecker:
    """Checks requested words against English and against what point weights were trained on."""

    def __init__(self, spec: EncoderSpec, encoder: TextEncoder) -> None:
        """Check words of a text encoder for the weights of a specification.

        Args:
            spec: its concepts say what the weights were trained on.
            encoder: text encoder of the same feature space.
        """
        self.concepts = spec.concepts
        self._concept_of_word = concept_of_word(self.concepts)
        # Of several spellings, "guard rail" and "guardrail", the first one.
        self._word_of_key = {_key(word): word for word in reversed(self._concept_of_word)}
        self._is_english_space = bool(self.concepts) or spec.space.name == _ENGLISH_SPACE
        self._encoder = encoder

    def concept_of(self, word: str) -> Concept | None:
        """Return the trained concept of which a word, or its singular, is a name."""
        word = normalized(word)
        for form in (word, *singular_forms(word)):
            if form in self._concept_of_word:
                return self._concept_of_word[form]
            if _key(form) in self._word_of_key:
                return self._concept_of_word[self._word_of_key[_key(form)]]
        return None

    def embedded_word(self, word: str) -> str:
        """Return the word whose vector stands for a word: of a concept its name, else a singular.

        One word stands for all names of a concept, because each of them alone gives another
        answer, and mostly a worse one: see ``benchmarks/synonyms.py``.
        """
        concept = self.concept_of(word)
        return _singular(normalized(word)) if concept is None else concept.name

    def embedded_vocabulary(self, vocabulary: Vocabulary) -> Vocabulary:
        """Return classes whose words are those that stand for the requested words.

        Where two classes name the same concept, only plurals are replaced: else all names of the
        concept would have the same vector.

        Args:
            vocabulary: classes given by hand. The words of published vocabularies are meant as they
                are.
        """
        words = iter(self.embedded_words(vocabulary))
        classes = [
            replace(each, words=tuple(dict.fromkeys(next(words) for _ in each.words)))
            for each in vocabulary.classes
        ]
        return replace(vocabulary, classes=tuple(classes))

    def embedded_words(self, vocabulary: Vocabulary) -> list[str]:
        """Return the word that stands for each word: see `embedded_vocabulary`."""
        names_of_class = [
            {concept.name for word in each.words if (concept := self.concept_of(word))}
            for each in vocabulary.classes
        ]
        names = [name for each in names_of_class for name in each]
        found = []
        for word in (word for each in vocabulary.classes for word in each.words):
            concept = self.concept_of(word)
            is_shared = concept is not None and names.count(concept.name) > 1
            found.append(self._plain(word) if is_shared else self.embedded_word(word))
        return found

    def report(self, vocabulary: Vocabulary, *, by_hand: bool = True) -> list[WordReport]:
        """Return what is known about each word of a vocabulary.

        Args:
            vocabulary: classes with their words.
            by_hand: whether other words stand for its words: see `embedded_vocabulary`.
        """
        words = [word for each in vocabulary.classes for word in each.words]
        class_of_word = np.array(
            [k for k, each in enumerate(vocabulary.classes) for _ in each.words]
        )
        embedded = self.embedded_words(vocabulary) if by_hand else words
        vectors = self._centered(embedded)
        similarity = vectors @ vectors.T
        reports = []
        for row, word in enumerate(words):
            own = class_of_word[row]
            # Words of its own class cannot be confused with it.
            others = np.where(class_of_word == own, -np.inf, similarity[row])
            confused = vocabulary.classes[class_of_word[int(others.argmax())]].name
            nearest, cosine = self._nearest(vectors[row])
            reports.append(
                WordReport(
                    class_name=vocabulary.classes[own].name,
                    word=word,
                    status=self.status(word),
                    concept=self.concept_of(word),
                    embedded=embedded[row],
                    nearest=nearest,
                    similarity=cosine,
                    confused_with=None if len(vocabulary) == 1 else confused,
                )
            )
        return reports

    def status(self, word: str) -> Status:
        """Return whether a word is known by itself, by its parts, or not at all."""
        if self.concept_of(word) is not None:
            return "known"
        if self._unknown_tokens(word):
            return "unknown"
        return "known" if normalized(word) in english_words() else "by parts"

    def warnings(self, vocabulary: Vocabulary) -> list[LabelWarning]:
        """Return warnings about classes given by hand.

        Raises:
            UsageError: E_CLASSES: a class is a list of classes without commas.
        """
        found: list[LabelWarning] = []
        for each in vocabulary.classes:
            for word in each.words:
                faults = (
                    _negated(word),
                    self._list(word, classes=len(vocabulary)),
                    self._unknown(word),
                    self._unseen(word),
                )
                # The first fault explains the others.
                found += [fault for fault in faults if fault is not None][:1]
        return [*found, *self._same_classes(vocabulary)]

    def _unknown(self, word: str) -> LabelWarning | None:
        unknown = self._unknown_tokens(word)
        if not unknown:
            return self._misspelt_name(word)
        text = f"{word!r} is an unknown word"
        if [normalized(word)] != unknown:
            text = f"{word!r} has an unknown word, {' '.join(unknown)!r}"
        meant = self._spelled_like(word, unknown)
        if meant is not None:
            return LabelWarning(
                "W_UNKNOWN_WORD",
                _WHERE,
                f"{text}; nearest known: {meant!r}",
                f"If you mean {meant!r}, write that.",
            )
        nearest, _ = self._nearest(self._centered([normalized(word)])[0])
        if nearest is not None:
            text += f"; nearest known to its vector: {nearest.name!r}"
        return LabelWarning(
            "W_UNKNOWN_WORD", _WHERE, text, "Write the usual English name of the thing."
        )

    def _misspelt_name(self, word: str) -> LabelWarning | None:
        """Return a warning if a name of several known words is nearly that of a concept."""
        name = normalized(word)
        if len(tokens(name)) < 2 or self.concept_of(word) is not None or self._stores(name):
            return None
        names = (each for each in self._usual_first if len(tokens(each)) > 1)
        meant = nearest_spelling(name, names, most=1)
        if meant is None:
            return None
        return LabelWarning(
            "W_UNKNOWN_WORD",
            _WHERE,
            f"{word!r} is an unknown name; nearest known: {meant!r}",
            f"If you mean {meant!r}, write that.",
        )

    def _unseen(self, word: str) -> LabelWarning | None:
        if not self.concepts:
            return None
        concept = self.concept_of(word)
        if concept is not None and concept.seen:
            return None
        # "garage door" is a door.
        parts = tokens(normalized(word))
        heads = (self.concept_of(" ".join(parts[start:])) for start in range(1, len(parts)))
        if any(head is not None and head.seen for head in heads):
            return None
        vector = self._centered([self.embedded_word(word)])[0]
        nearest, similarity = self._nearest(vector, seen=True)
        if nearest is None or (concept is None and (similarity or 0) >= _LEAST_SIMILARITY):
            return None
        meant = nearest_spelling(normalized(word), self._usual_first, most=1)
        remedy = f"Expect wrong labels: leave it out, or fine-tune weights on {word!r}."
        if concept is None and meant is not None:
            remedy = f"If you mean {meant!r}, write that; else expect wrong labels."
        return LabelWarning(
            "W_UNSEEN_WORD",
            _WHERE,
            f"{word!r} is a known word, but these weights have seen nothing like it; nearest "
            f"trained: {nearest.name!r}",
            remedy,
        )

    def _same_classes(self, vocabulary: Vocabulary) -> Iterator[LabelWarning]:
        for first, second in combinations(vocabulary.classes, 2):
            same = set(map(self._plain, first.words)) & set(map(self._plain, second.words))
            remedy = f"Leave one out, or make it one class: {first.name}={second.name}."
            if same:
                yield LabelWarning(
                    "W_SAME_CLASS",
                    _WHERE,
                    f"{first.name!r} and {second.name!r} are the same word, so {first.name!r} gets "
                    "the points of both",
                    remedy,
                )
            elif self._are_synonyms(first.words, second.words):
                yield LabelWarning(
                    "W_SAME_CLASS",
                    _WHERE,
                    f"{first.name!r} and {second.name!r} are the same thing to these weights, so "
                    "each point gets one of the two by chance",
                    remedy,
                )

    def _plain(self, word: str) -> str:
        """Return a word without its plural, but not replaced by another name of its concept."""
        word = normalized(word)
        concept = self.concept_of(word)
        if concept is None:
            return _singular(word)
        # The last that names the concept: the singular, if the concept has that too.
        forms = (self._word_of_key.get(_key(form)) for form in (word, *singular_forms(word)))
        named = [form for form in forms if form and self._concept_of_word[form] is concept]
        return named[-1]

    def _are_synonyms(self, first: Sequence[str], second: Sequence[str]) -> bool:
        """Return whether a word of each list names the same concept, and neither is a kind of it.

        "coffee table" is a kind of "table": who requests both distinguishes them.
        """
        for one in map(normalized, first):
            for other in map(normalized, second):
                concept = self.concept_of(one)
                is_kind = one.endswith(f" {other}") or other.endswith(f" {one}")
                if concept is not None and concept is self.concept_of(other) and not is_kind:
                    return True
        return False

    def _list(self, word: str, *, classes: int) -> LabelWarning | None:
        """Return a warning if a word, the only class, may be a list without commas.

        Raises:
            UsageError: E_CLASSES: it is one for certain: it is made of three concepts or more.
        """
        name = normalized(word)
        if self.concept_of(word) is not None or self._stores(name):
            return None
        names = self._listed_concepts(tokens(name))
        concepts = len({concept.name for _, concept in names})
        fault = f"{word!r} looks like {len(names)} classes without commas between them"
        listed = ",".join(part for part, _ in names)
        remedy = f'Separate classes by commas: --classes "{listed}".'
        if concepts > _MOST_CONCEPTS:
            raise UsageError("E_CLASSES", _WHERE, fault, remedy)
        # "car door" is the name of a thing, and "car road" is not: only the user knows.
        if concepts == _MOST_CONCEPTS and classes == 1:
            return LabelWarning("W_SEPARATOR", _WHERE, fault, remedy)
        return None

    def _stores(self, name: str) -> bool:
        """Return whether the text encoder stores a vector of a name, as it does of usual names."""
        stores = getattr(self._encoder, "stores", None)
        return stores is not None and bool(stores(name))

    def _listed_concepts(self, parts: Sequence[str]) -> list[tuple[str, Concept]]:
        """Cut tokens into names of concepts, the longest first; without rest, or nothing."""
        if not parts:
            return []
        for length in range(len(parts), 0, -1):
            name = " ".join(parts[:length])
            concept = self.concept_of(name)
            if concept is not None:
                rest = self._listed_concepts(parts[length:])
                if rest or length == len(parts):
                    return [(name, concept), *rest]
        return []

    def _unknown_tokens(self, word: str) -> list[str]:
        """Return the parts of a word that are no English words; a number alone is none either."""
        if not self._is_english_space or self.concept_of(word) is not None:
            return []
        parts = tokens(normalized(word)) or [normalized(word)]
        if all(part.isdecimal() for part in parts):
            return parts
        trained = self._trained_tokens
        return [
            part
            for part in parts
            if part not in trained and not is_english(part) and not self._is_compound(part)
        ]

    def _is_compound(self, token: str) -> bool:
        """Return whether a token is two words, and not by chance: "bookshelv" is misspelt."""
        is_misspelt = nearest_spelling(token, self._trained_tokens, most=1) is not None
        return is_compound(token) and not is_misspelt

    @cached_property
    def _trained_tokens(self) -> dict[str, None]:
        # A dict keeps the order.
        return dict.fromkeys(part for word in self._usual_first for part in tokens(word))

    @cached_property
    def _usual_first(self) -> list[str]:
        """All trained words, the names of concepts first: of equal spellings they are likelier."""
        names = [concept.name for concept in self.concepts]
        return list(dict.fromkeys([*names, *self._concept_of_word]))

    def _spelled_like(self, word: str, unknown: Sequence[str]) -> str | None:
        """Return the trained word, or the word of known parts, that a misspelt word is meant as."""
        whole = nearest_spelling(normalized(word), self._usual_first)
        if whole is not None:
            return whole
        corrected = []
        for part in tokens(normalized(word)):
            meant: str | None = part
            if part in unknown:
                meant = nearest_spelling(part, self._trained_tokens)
                if meant is None:
                    meant = corrected_word(part)
            if meant is None:
                return None
            corrected.append(meant)
        return " ".join(corrected)

    def _nearest(
        self, vector: Floats, *, seen: bool = False
    ) -> tuple[Concept | None, float | None]:
        """Return the concept with the word nearest to a centered vector, and their cosine."""
        if not self.concepts:
            return None, None
        words, vectors = self._trained_vectors
        similarity = vectors @ vector
        if seen:
            is_seen = [self._concept_of_word[word].seen for word in words]
            similarity = np.where(is_seen, similarity, -1)
        best = int(similarity.argmax())
        return self._concept_of_word[words[best]], float(similarity[best])

    @cached_property
    def _trained_vectors(self) -> tuple[list[str], Floats]:
        """All trained words, and their centered vectors."""
        return list(self._concept_of_word), normalize_rows(self._raw_trained - self._mean)

    @cached_property
    def _mean(self) -> Floats:
        mean: Floats = self._raw_trained.mean(axis=0)
        return mean

    @cached_property
    def _raw_trained(self) -> Floats:
        return self._embed(list(self._concept_of_word))

    def _centered(self, words: Sequence[str]) -> Floats:
        """Return unit vectors of words minus the mean of all trained words, (W, D)."""
        vectors = self._embed(words)
        return normalize_rows(vectors - self._mean) if self.concepts else vectors

    def _embed(self, words: Sequence[str]) -> Floats:
        return self._encoder([_PROMPT.format(word) for word in words])


def _key(word: str) -> str:
    """Return a word without spaces and hyphens: "guard rail" is also written "guardrail"."""
    return word.replace(" ", "").replace("-", "")


def _singular(word: str) -> str:
    """Return the singular of a normalized word if it is a plural, else the word."""
    for form in singular_forms(word):
        if tokens(form) and tokens(form)[-1] in english_words():
            return form
    return word


def _negated(word: str) -> LabelWarning | None:
    text = normalized(word)
    found = _NEGATION.search(text)
    if found is None or _SIGN.match(text):
        return None
    return LabelWarning(
        "W_NEGATION",
        _WHERE,
        f"{word!r} says what a thing is not, but its vector is near to that of what it denies",
        "Name the things that are there instead.",
    )
