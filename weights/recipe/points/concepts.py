"""What point weights were trained on: the concepts that `clip3d words` and `clip3d label` know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from clip3d_cli.encoders.concepts import Concept
from weights.recipe.points.scan_lists import ListedScan
from weights.recipe.points.taxonomy import Taxonomy

# A label that can be any of more leaves teaches none of them.
_MOST_LEAVES = 3
# A leaf is seen if it is at least this share of the points that the training draws: a voxel in two
# steps of 60,000.
_LEAST_SHARE = 1e-5


def seen_leaves(
    scans: Iterable[ListedScan], weight_of_source: Mapping[str, float], taxonomy: Taxonomy
) -> set[str]:
    """Return the leaves that the training has seen.

    A point counts for all leaves of its label, unless these are more than three. The leaves of
    ``only_if_known`` count as seen: they are parts or kinds of things that have another label.

    Args:
        scans: the scans of the training.
        weight_of_source: how often the training draws from each source of scans.
        taxonomy: all leaves.
    """
    points: dict[tuple[str, str], int] = defaultdict(int)
    points_of_source: dict[str, int] = defaultdict(int)
    for scan in scans:
        for names, count in scan.points_of_leaves.items():
            leaves = names.split("|")
            points_of_source[scan.source] += count
            if len(leaves) <= _MOST_LEAVES:
                for leaf in leaves:
                    points[scan.source, leaf] += count
    share: dict[str, float] = defaultdict(float)
    for (source, leaf), count in points.items():
        share[leaf] += weight_of_source[source] * count / points_of_source[source]
    return {leaf for leaf in share if share[leaf] >= _LEAST_SHARE} | taxonomy.only_if_known


def concepts_of(taxonomy: Taxonomy, seen: set[str]) -> tuple[Concept, ...]:
    """Return a concept for each leaf and each group of a taxonomy.

    Concepts are named by their first word; leaves or groups with the same first word are one. A
    word belongs to the first concept that has it.

    Args:
        taxonomy: leaves and groups, with their words.
        seen: the leaves that the training has seen: see `seen_leaves`.
    """
    entries = [(words, leaf in seen) for leaf, words in taxonomy.words_of_leaf.items()]
    entries += [(group.words, bool(group.leaves & seen)) for group in taxonomy.groups]
    words_of: dict[str, list[str]] = {}
    taken: set[str] = set()
    is_seen: dict[str, bool] = defaultdict(bool)
    for words, seen_of_entry in entries:
        name = words[0]
        if name in taken and name not in words_of:
            # The first word of a group can be a synonym of a leaf that comes before.
            continue
        words_of.setdefault(name, []).extend(word for word in words if word not in taken)
        taken.update(words)
        is_seen[name] |= seen_of_entry
    return tuple(
        Concept(name, tuple(words), seen=is_seen[name]) for name, words in words_of.items()
    )
