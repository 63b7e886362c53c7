"""Training targets of the network: names with CLIP's vectors, or else the teacher's predictions."""

from dataclasses import dataclass

import numpy as np

from weights.recipe.text import name_lists
from weights.recipe.text.features import normalize_name
from weights.recipe.text.phrases import Phrases, name_keys
from weights.recipe.text.teacher import Teacher
from weights.recipe.text.wordnet import Nouns

_LOOK_COUNT = 8_000
_LOOK_SEED = 3
# How often a target is drawn, relative to a noun of WordNet: a vector of CLIP; a vector of CLIP of
# a list of synonyms, which is long and never requested; and predictions for the four groups of
# `names_by_group`.
CLIP_WEIGHT = 15.0
CLIP_LIST_WEIGHT = 3.0
GROUP_WEIGHTS = (15.0, 8.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class TrainingTargets:
    """P names with the vectors that the network should return for "a <name>".

    Attributes:
        names: names in lower case with spaces between words, the most important first.
        offsets: (P, 512) float32, vectors minus the mean of the space.
        weight: (P,) float32, how often a name is drawn, relative to the others.
    """

    names: list[str]
    offsets: np.ndarray
    weight: np.ndarray


def names_by_group(phrases: Phrases, nouns: Nouns, token_words: list[str]) -> list[list[str]]:
    """List the names to learn: class words, names of phrases, others, and WordNet's nouns."""
    named = list(dict.fromkeys(normalize_name(n) for n in phrases.names if "," not in n))
    classes = name_lists.class_words()
    others = name_lists.plurals(named) + name_lists.plurals(classes)
    others += [word for word in token_words if nouns.senses(word)]
    others += name_lists.names_with_looks(
        list(dict.fromkeys(named + classes)), count=_LOOK_COUNT, seed=_LOOK_SEED
    )
    visible = nouns.names()
    taken = {*named, *classes, *visible}
    return [classes, named, [n for n in dict.fromkeys(others) if n not in taken], visible]


def make_targets(
    teacher: Teacher, phrases: Phrases, nouns: Nouns, token_words: list[str]
) -> TrainingTargets:
    """Return the vectors of the teacher's phrases, and its predictions for all other names.

    Names have spaces for underscores, as in `MiniTextEncoder`: the vector of a prompt with
    underscores trains the teacher, but not the network.

    Args:
        teacher: fitted teacher, with its training phrases.
        phrases: all phrases; of those that the teacher did not see, only the names are used.
        nouns: WordNet.
        token_words: words that are a single token of CLIP.
    """
    prompts = teacher.phrases.prompts
    rows = [i for i, p in enumerate(prompts) if p.startswith("a ") and "_" not in p]
    names = [normalize_name(prompts[i].removeprefix("a ")) for i in rows]
    offsets = [teacher.phrases.vectors[rows] - teacher.mean.numpy()]
    weight = [CLIP_LIST_WEIGHT if "," in name else CLIP_WEIGHT for name in names]
    known = set(names)
    groups = names_by_group(phrases, nouns, token_words)
    for group, group_weight in zip(groups, GROUP_WEIGHTS, strict=True):
        features = teacher.features(group, ["a " + name for name in group])
        new = np.array([i for i, name in enumerate(group) if name not in known])
        offsets.append(teacher(features.select(new)))
        names += [group[i] for i in new]
        known.update(group)
        weight += [group_weight] * len(new)
    return TrainingTargets(names, np.concatenate(offsets), np.array(weight, np.float32))


def exclude_names(targets: TrainingTargets, names: list[str]) -> TrainingTargets:
    """Return the targets whose name is none of ``names`` in any spelling, nor ends in one."""
    excluded = set().union(*map(name_keys, names))
    endings = tuple(" " + name for name in names)
    rows = [
        row
        for row, name in enumerate(targets.names)
        if not (name_keys(name) & excluded or name.endswith(endings))
    ]
    kept = [targets.names[row] for row in rows]
    return TrainingTargets(kept, targets.offsets[rows], targets.weight[rows])
