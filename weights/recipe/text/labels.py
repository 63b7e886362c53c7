"""The student's lessons: names with the vectors they should get, true ones and the teacher's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from weights.recipe.text import wishes
from weights.recipe.text.features import Known, know, plain
from weights.recipe.text.minilm import MiniLM
from weights.recipe.text.phrases import Phrases, name_keys, without_repeats
from weights.recipe.text.teacher import compare, fit_kernel, folds_by_name, read_kernel
from weights.recipe.text.wordnet import Nouns

KERNEL = Path(__file__).with_name("kernel.json")
LOOK_COUNT = 8_000
# How often a lesson is drawn, relative to one of WordNet's nouns: a true vector, a true vector of
# a list of synonyms (long, and never asked for); a prediction for a class of the usual
# vocabularies, for a stored phrase's name, for a plural or a look, for a noun.
TRUE_SHARE = 15.0
TRUE_LIST_SHARE = 3.0
GROUP_SHARES = (15.0, 8.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Lessons:
    """Names with what the student should say to "a <name>", the most important names first.

    Attributes:
        names: length P, lower case, words separated by spaces.
        offsets: (P, 512) float32, the vector less the common mean.
        weight: (P,) float32, how often a name is drawn, relative to the others.
    """

    names: list[str]
    offsets: np.ndarray
    weight: np.ndarray


class Teacher:
    """The kernel regression of `teacher`, fitted to phrases."""

    def __init__(self, phrases: Phrases, nouns: Nouns, minilm: MiniLM, *, steps: int = 0) -> None:
        """Fit to ``phrases``.

        Args:
            phrases: to learn from.
            nouns: WordNet.
            minilm: the sentence encoder.
            steps: of descent to find the hyper-parameters; 0 takes those of ``kernel.json``,
                which were found without the held-out names.
        """
        self.phrases = without_repeats(phrases.rows(wishes.usable(phrases)))
        self._nouns, self._minilm = nouns, minilm
        self._known = know(self.phrases.names, self.phrases.prompts, nouns, minilm)
        vectors = torch.from_numpy(self.phrases.vectors)
        self.mean = vectors.mean(0)
        offsets = vectors - self.mean
        # The last column lets the teacher tell how far from the mean a vector should be.
        length = offsets.norm(dim=1, keepdim=True)
        self._mean_length = length.mean()
        cosines = compare(self._known, self._known)
        if steps:
            folds = torch.from_numpy(folds_by_name(self.phrases.names, 10, seed=0))
            self.kernel = fit_kernel(cosines, offsets, folds, steps=steps)
        else:
            self.kernel = read_kernel(KERNEL)
        with torch.no_grad():
            gram = self.kernel(cosines)
            noise = self.kernel.log_noise.exp() * torch.eye(len(gram))
            targets = torch.cat([offsets, length - self._mean_length], dim=1)
            self._dual = torch.linalg.solve(gram + noise, targets)

    def know(self, names: list[str], prompts: list[str]) -> Known:
        """Give what is known of prompts; the same names are looked up once."""
        return know(names, prompts, self._nouns, self._minilm)

    @torch.no_grad()
    def __call__(self, known: Known, *, batch: int = 2048) -> np.ndarray:
        """Predict the offsets from the mean, (P, 512) float32, as long as true ones are."""
        out = np.empty((len(known.form), self.phrases.vectors.shape[1]), np.float32)
        for start in range(0, len(out), batch):
            part = known.rows(np.arange(start, min(start + batch, len(out))))
            predicted = self.kernel(compare(part, self._known)) @ self._dual
            length = (predicted[:, -1:] + self._mean_length).clamp(0.3, 0.9)
            unit = torch.nn.functional.normalize(predicted[:, :-1], dim=1)
            out[start : start + batch] = (unit * length).numpy()
        return out


def wished_names(phrases: Phrases, nouns: Nouns, token_words: list[str]) -> list[list[str]]:
    """List the names to learn in four groups: classes, phrases, others, WordNet's nouns."""
    named = list(dict.fromkeys(plain(n) for n in phrases.names if "," not in n))
    classes = wishes.class_words()
    many = wishes.plurals(named) + wishes.plurals(classes)
    many += [word for word in token_words if nouns.senses(word)]
    many += wishes.looks_of(list(dict.fromkeys(named + classes)), count=LOOK_COUNT, seed=3)
    visible = nouns.names()
    taken = {*named, *classes, *visible}
    return [classes, named, [n for n in dict.fromkeys(many) if n not in taken], visible]


def make_lessons(teacher: Teacher, every: Phrases, nouns: Nouns, token_words: list[str]) -> Lessons:
    """Collect true vectors of the teacher's phrases and its own predictions for all else.

    Underscores become spaces, as in `MiniTextEncoder`: a true vector of a prompt with
    underscores teaches the teacher, not the student.

    Args:
        teacher: fitted; the phrases it was fitted to become true lessons.
        every: all phrases; of those the teacher did not see only the names are used.
        nouns: WordNet.
        token_words: words that are one token of CLIP.
    """
    prompts = teacher.phrases.prompts
    rows = [i for i, p in enumerate(prompts) if p.startswith("a ") and "_" not in p]
    names = [plain(prompts[i].removeprefix("a ")) for i in rows]
    offsets = [teacher.phrases.vectors[rows] - teacher.mean.numpy()]
    weight = [TRUE_LIST_SHARE if "," in name else TRUE_SHARE for name in names]
    seen = set(names)
    groups = wished_names(every, nouns, token_words)
    for group, share in zip(groups, GROUP_SHARES, strict=True):
        known = teacher.know(group, ["a " + name for name in group])
        new = np.array([i for i, name in enumerate(group) if name not in seen])
        offsets.append(teacher(known.rows(new)))
        names += [group[i] for i in new]
        seen.update(group)
        weight += [share] * len(new)
    return Lessons(names, np.concatenate(offsets), np.array(weight, np.float32))


def without_names(lessons: Lessons, names: list[str]) -> Lessons:
    """Give the lessons that neither are one of ``names``, in any spelling, nor end in one."""
    banned = set().union(*map(name_keys, names))
    endings = tuple(" " + name for name in names)
    rows = [
        row
        for row, name in enumerate(lessons.names)
        if not (name_keys(name) & banned or name.endswith(endings))
    ]
    kept = [lessons.names[row] for row in rows]
    return Lessons(kept, lessons.offsets[rows], lessons.weight[rows])
