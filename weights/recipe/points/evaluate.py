"""Evaluate point weights on labelled scans, with the labelling that users call.

python -m weights.recipe.points.evaluate WEIGHTS --data ../shared/data --simulated sim/held-out

Prints mean IoU, accuracy and IoU per class for each suite of scans. IoU is counted over all points
of all scans of a suite. Its mean is over the classes that make up at least a thousandth of the
evaluated points; other classes are printed only, as one point of water measures nothing.

All suites take about half a minute on one core, those kept out of training (--held-out) a few
seconds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np

from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import SemanticClass, Vocabulary, palette_color
from clip3d_cli.labelling.labeller import Labeller
from clip3d_cli.metrics.confusion import ConfusionMatrix
from weights.recipe.points.sources import read_labelled, read_scan, simulated_files
from weights.recipe.points.taxonomy import Taxonomy, read_table

MIN_SHARE_OF_POINTS = 0.001
# Classes of simulated scans with fewer points are left out of the mean.
_MIN_POINTS = 200


@dataclass(frozen=True, slots=True)
class Suite:
    """Scans that are evaluated together.

    Attributes:
        classes: table of ``evaluation.toml`` with the classes.
        pattern: glob pattern of the files in ``../shared/data``.
        in_training: whether the shipped weights were trained on them.
    """

    classes: str
    pattern: str
    in_training: bool


SUITES = {
    "ika val": Suite("ika", "driving/ika/val/*.npz", False),
    "IGN 0382_6565": Suite("aerial", "aerial/ign_2021_0382_6565.laz", False),
    "IGN 0382_6565, ASPRS": Suite("asprs", "aerial/ign_2021_0382_6565.laz", False),
    "laspy 2445180": Suite("aerial", "aerial/file_with_both_wkt_and_geotiff_vlrs.las", False),
    "PandaSet 001": Suite("pandaset", "driving/pandaset_001/*.npz", True),
    "ika train": Suite("ika", "driving/ika/train/*.npz", True),
    "IGN 770xx": Suite("aerial", "aerial/ign_770*.laz", True),
    "AHN Delft": Suite("ahn", "aerial/ahn3_delft.laz", True),
}


def open_labeller(weights: str | Path, device: str = "cpu") -> Labeller:
    """Return a labeller that embeds each word by itself, without a sentence around it."""
    return Labeller.open(weights, templates=["{}"], device=device)


@dataclass(frozen=True, slots=True)
class Channels:
    """Which optional channels of a scan the network may read.

    Attributes:
        color: keep the colors.
        intensity: keep the intensity.
    """

    color: bool = True
    intensity: bool = True

    def of(self, cloud: PointCloud) -> PointCloud:
        """Return the cloud without the channels that are left out."""
        return replace(
            cloud,
            rgb=cloud.rgb if self.color else None,
            intensity=cloud.intensity if self.intensity else None,
        )


ALL_CHANNELS = Channels()


@dataclass(frozen=True, slots=True)
class SimulatedOptions:
    """How simulated scans are evaluated.

    Attributes:
        coarse: a leaf that is a kind or a part of another counts as that one.
        synonym: number of the word of each class among its synonyms, from 0; beyond the last it
            goes on with the first.
        channels: what the network may read.
        taxonomy: leaves and words.
    """

    coarse: bool = False
    synonym: int = 0
    channels: Channels = ALL_CHANNELS
    taxonomy: Taxonomy = field(default_factory=Taxonomy.read)

    def word_of(self, leaf: str, known: frozenset[str]) -> str:
        """Return the word of the class of a leaf.

        Args:
            leaf: a leaf.
            known: all leaves of the scans: a door indoors is no part of a building that is seen.
        """
        if self.coarse:
            *_, leaf = leaf, *(each for each in self.taxonomy.above(leaf) if each in known)
        words = self.taxonomy.words_of_leaf[leaf]
        return words[self.synonym % len(words)]


def evaluate(
    labeller: Labeller, suite: Suite, data: Path, channels: Channels = ALL_CHANNELS
) -> dict[str, object]:
    """Return the scores of a labeller on a suite, ready for JSON.

    Args:
        labeller: opened weights.
        suite: the scans and their classes.
        data: the folder ``../shared/data``.
        channels: what the network may read.
    """
    table = read_table("evaluation.toml")[suite.classes]["classes"]
    classes = _vocabulary(suite.classes, {name: row["words"] for name, row in table.items()})
    # (256,) from label to class index, −1 for labels that are not evaluated.
    class_of_label = np.full(256, -1, dtype=np.int32)
    for position, row in enumerate(table.values()):
        class_of_label[row["labels"]] = position
    embeddings = labeller.embed_classes(classes)
    counts = _no_counts(classes)
    for path in sorted(data.glob(suite.pattern)):
        cloud, label = read_labelled(path)
        predicted = labeller.label(channels.of(cloud), embeddings)
        counts += ConfusionMatrix.of(class_of_label[label], predicted.class_index, len(table))
    return _scores(counts, classes)


def evaluate_simulated(
    labeller: Labeller, kind: str, folder: Path, options: SimulatedOptions
) -> dict[str, object]:
    """Return the scores on simulated scans of a kind, with one word for each class.

    The classes are all leaves of all scans of the kind, or what they are kinds and parts of.
    Classes whose word is the same are one class.

    Args:
        labeller: opened weights.
        kind: kind of scene; the scans are in folders of that name, as `simulated_files` has them.
        folder: folder of these folders.
        options: classes, words and channels.
    """
    files = [file for file in simulated_files(folder) if file.source == f"sim-{kind}"]
    scans = [read_scan(file) for file in files]
    known = frozenset().union(*(scan.known_leaves for scan in scans))
    word_of_leaf = {leaf: options.word_of(leaf, known) for leaf in sorted(known)}
    words = list(dict.fromkeys(word_of_leaf.values()))
    classes = _vocabulary(kind, {word: [word] for word in words})
    embeddings = labeller.embed_classes(classes)
    counts = _no_counts(classes)
    for scan in scans:
        words_of_set = [{word_of_leaf[leaf] for leaf in leaves} for leaves in scan.leaf_sets]
        # Points that may be of any of several classes are not evaluated; the last entry is that
        # of −1.
        class_of_set = np.array(
            [words.index(min(each)) if len(each) == 1 else -1 for each in words_of_set] + [-1],
            dtype=np.int32,
        )
        predicted = labeller.label(options.channels.of(scan.cloud), embeddings)
        truth = class_of_set[scan.leaf_set_of_point]
        counts += ConfusionMatrix.of(truth, predicted.class_index, len(words))
    scores = _scores(counts, classes, min_points=_MIN_POINTS)
    return scores | {"most frequent confusions": _confusions(counts, words)}


def _confusions(counts: ConfusionMatrix, words: Sequence[str]) -> dict[str, str]:
    """Return what each class is called most, with the shares of its points in percent."""
    found = {}
    for row, word in zip(counts.counts, words, strict=True):
        if row.sum() >= _MIN_POINTS:
            shares = 100 * row[: len(words)] / row.sum()
            best = np.argsort(-shares)[:3]
            found[word] = ", ".join(f"{words[k]} {shares[k]:.0f}" for k in best if shares[k] >= 5)
    return found


def _vocabulary(name: str, words: Mapping[str, Sequence[str]]) -> Vocabulary:
    classes = tuple(
        SemanticClass(title, tuple(names), position + 1, palette_color(position))
        for position, (title, names) in enumerate(words.items())
    )
    return Vocabulary(name, classes)


def _no_counts(vocabulary: Vocabulary) -> ConfusionMatrix:
    classes = len(vocabulary.classes)
    return ConfusionMatrix(np.zeros((classes, classes + 1), dtype=np.int64))


def _scores(
    counts: ConfusionMatrix, vocabulary: Vocabulary, min_points: int | None = None
) -> dict[str, object]:
    """Return mean IoU, accuracy and IoU per class, in the order of the IoU.

    Args:
        counts: of all scans.
        vocabulary: K classes.
        min_points: classes of fewer points are left out of the mean; None takes a thousandth of
            all points.
    """
    total = counts.counts.sum()
    common = counts.counts.sum(axis=1) >= (min_points or MIN_SHARE_OF_POINTS * total)
    named = [
        (entry.name, float(value), bool(kept))
        for entry, value, kept in zip(vocabulary.classes, counts.iou, common, strict=True)
        if not np.isnan(value)
    ]
    return {
        "mIoU": float(np.nanmean(counts.iou[common])),
        "left out of the mean": [name for name, _, kept in named if not kept],
        "accuracy": float(np.diagonal(counts.counts).sum() / total),
        "points": int(total),
        "IoU": {name: value for name, value, _ in named},
    }


def main() -> None:
    """Print a line per suite, and write JSON if requested."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="safetensors file of a point encoder")
    parser.add_argument("--data", type=Path, help="the folder ../shared/data")
    parser.add_argument("--simulated", type=Path, help="folder of simulated scans kept aside")
    parser.add_argument(
        "--held-out", action="store_true", help="only suites that were kept out of training"
    )
    parser.add_argument(
        "--synonyms", type=int, default=1, help="label simulated scans with so many sets of words"
    )
    parser.add_argument("--no-color", action="store_true", help="hide the colors")
    parser.add_argument("--no-intensity", action="store_true", help="hide the intensity")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    parser.add_argument("--json", type=Path, help="file to write all scores to")
    args = parser.parse_args()
    labeller = open_labeller(args.weights, args.device)
    channels = Channels(not args.no_color, not args.no_intensity)
    results = {}
    if args.data:
        for title, suite in SUITES.items():
            if not (args.held_out and suite.in_training):
                results[title] = evaluate(labeller, suite, args.data, channels)
                _print(title, results[title])
    if args.simulated:
        kinds = {file.source.removeprefix("sim-") for file in simulated_files(args.simulated)}
        for kind, coarse, synonym in product(sorted(kinds), (False, True), range(args.synonyms)):
            title = f"{kind}, {'coarse' if coarse else 'fine'}, word {synonym + 1}"
            options = SimulatedOptions(coarse, synonym, channels)
            results[title] = evaluate_simulated(labeller, kind, args.simulated, options)
            _print(title, results[title])
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


def _print(title: str, result: Mapping[str, object]) -> None:
    print(f"{title:22s} mIoU {result['mIoU']:.3f}  accuracy {result['accuracy']:.3f}", end="  ")
    iou: Mapping[str, float] = result["IoU"]  # type: ignore[assignment]
    by_value = sorted(iou.items(), key=lambda entry: -entry[1])
    print(", ".join(f"{name} {100 * value:.0f}" for name, value in by_value), flush=True)


if __name__ == "__main__":
    main()
