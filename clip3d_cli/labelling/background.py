"""Everyday words that compete with the requested ones, so that a point can be none of them.

Asked for "car" alone, a network calls everything a car that is more like a car than like nothing:
hedges, boxes, walls. A hedge is told from a car by also asking for "bush". So words of everyday
things compete with the requested ones; a point that they win is unlabeled. Words for the same kind
of thing do not compete: a point of an asked "bush" must not be lost to "tree".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.text.encoder import normalize_rows

# Words that point networks take for one another stand in one row; some stand in several.
KINDS: dict[str, tuple[str, ...]] = {
    "surface": (
        *("road", "sidewalk", "grass", "terrain", "ground", "floor", "water", "low vegetation"),
        *("bridge", "table", "desk", "counter"),
    ),
    "structure": (
        *("wall", "building", "roof", "ceiling", "door", "window", "fence", "balcony", "bridge"),
        *("curtain", "picture", "cabinet", "bookshelf", "refrigerator", "television", "sign"),
    ),
    "plant": (
        *("vegetation", "tree", "tree trunk", "bush", "grass", "low vegetation", "plant"),
        *("terrain", "pole"),
    ),
    "pole": ("pole", "traffic sign", "sign", "tree trunk", "power line"),
    "vehicle": ("car", "truck", "bus", "bicycle", "motorcycle"),
    "person": ("person", "bicycle", "motorcycle"),
    "furniture": (
        *("table", "chair", "sofa", "cabinet", "bed", "desk", "bookshelf", "counter", "sink"),
        *("toilet", "bathtub", "refrigerator", "television", "lamp", "pillow", "box", "clutter"),
        *("bench", "trash can"),
    ),
}
# A word this similar to a requested one, after centering, is of the same kind; so is the most
# similar word, and so are all that have this share of its similarity.
_SAME_KIND_COSINE = 0.6
_NEARLY = 0.8
# Where fewer points fit none of the classes, the classes are taken as complete: what is left over
# are mistakes of the network, and each point keeps its nearest class.
_LEAST_SHARE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """What competes with the classes besides "none of these": points it wins are unlabeled.

    Attributes:
        vectors: (B, D) float32, unit vectors of background words; B may be 0.
        unless_complete: give every point its nearest class where the classes fit nearly all points.
    """

    vectors: npt.NDArray[np.float32]
    unless_complete: bool = False

    def unlabeled(self, fits: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which of the N points of a cloud are unlabeled.

        Args:
            fits: (N,) bool, False where no class fits.
        """
        if self.unless_complete and np.count_nonzero(~fits) < _LEAST_SHARE * len(fits):
            return np.zeros(len(fits), bool)
        return ~fits


def everyday_vocabulary() -> Vocabulary:
    """Return the everyday words, each as a class of its own."""
    words = dict.fromkeys(word for kind in KINDS.values() for word in kind)
    return Vocabulary.from_names(list(words))


def everyday_background(requested: ClassEmbeddings, everyday: ClassEmbeddings) -> Background:
    """Return the everyday words of other kinds than the requested words.

    The kinds of a requested word are those of the most similar everyday word, and of all that are
    nearly as similar. Similarity is the cosine after subtracting the mean of the everyday words,
    because any two vectors of CLIP's text encoder are similar.

    Args:
        requested: W words of K classes.
        everyday: `everyday_vocabulary`, embedded in the same space by the same encoder.
    """
    mean = everyday.vectors.mean(axis=0)
    centered = normalize_rows(everyday.vectors - mean)
    similarity = normalize_rows(requested.vectors - mean) @ centered.T
    least = np.minimum(similarity.max(axis=1) * _NEARLY, _SAME_KIND_COSINE)
    names = everyday.vocabulary.names
    alike = {names[i] for i in np.flatnonzero((similarity >= least[:, None]).any(axis=0))}
    same_kind = {word for kind in KINDS.values() if alike.intersection(kind) for word in kind}
    rows = [i for i, name in enumerate(names) if name not in same_kind]
    return Background(everyday.vectors[rows], unless_complete=True)
