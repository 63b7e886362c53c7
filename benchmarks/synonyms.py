"""What point weights reach for the synonyms of a class: one answer or several?

    python -m benchmarks.synonyms SCANS... [--weights FILE] [--json FILE]

SCANS are folders of scans `NAME.ply` or `NAME.laz` with ground truth in `NAME.truth.npz`: `truth`,
(N,) index of a class for each point or -1, and `classes`, their names. In the list of a scan's
classes, each class that is a concept of the taxonomy is replaced by each word of its concept in
turn, and the IoU of the class is measured. Ways to embed the word:

    word   the vector of the word itself
    first  the vector of the concept's first word
    mean   the normalized mean of the vectors of all words of the concept
    all    the nearest of the vectors of all words of the concept

Each is measured in the complete list of classes and alone, where points that are unlike the word
(similarity below 0) are unlabeled. Takes about a minute for 17 scans on one core.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.formats.cloud_file import read_cloud
from clip3d_cli.labelling.labeller import Labeller
from clip3d_cli.text.encoder import normalize_rows, open_text_encoder
from weights.recipe.points.taxonomy import Taxonomy

WAYS = ("word", "first", "mean", "all")
MIN_POINTS = 50
Floats = npt.NDArray[np.float32]


def concepts() -> dict[str, tuple[str, ...]]:
    """Return the words of the concept of each word of the taxonomy; leaves come before groups."""
    taxonomy = Taxonomy.read()
    found: dict[str, tuple[str, ...]] = {}
    for words in (*taxonomy.words_of_leaf.values(), *(each.words for each in taxonomy.groups)):
        for word in words:
            found.setdefault(word, words)
    return found


def iou(predicted: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    """Return intersection over union of two masks."""
    return float((predicted & truth).sum() / max(1, (predicted | truth).sum()))


class Scan:
    """The similarity of a scan's voxels to words, computed once per word.

    Attributes:
        classes: names of the K classes.
        truth: (N,) class index of the evaluated points.
    """

    def __init__(self, path: Path, labeller: Labeller) -> None:
        arrays = np.load(path)
        source = next(
            p for end in (".ply", ".laz") if (p := path.with_name(path.name[:-10] + end)).exists()
        )
        features = labeller.embed(read_cloud(source))
        evaluated = arrays["truth"] >= 0
        self.classes = [str(name) for name in arrays["classes"]]
        self.truth = arrays["truth"][evaluated]
        self._voxels = features.vectors
        self._voxel_of_point = features.voxel_of_point[evaluated]

    def similarity(self, vectors: Floats) -> Floats:
        """Return the similarity of the evaluated points to the nearest of some vectors, (N,)."""
        nearest: Floats = (self._voxels @ vectors.T).max(axis=1)
        return nearest[self._voxel_of_point]


def measure(scan: Scan, vector_of_word: dict[str, Floats]) -> list[dict[str, object]]:
    """Return the IoU of each class by each word of its concept, in each way."""
    words_of = concepts()
    listed = np.stack([scan.similarity(vector_of_word[name][None]) for name in scan.classes])
    rows: list[dict[str, object]] = []
    for position, name in enumerate(scan.classes):
        truth = scan.truth == position
        if name not in words_of or truth.sum() < MIN_POINTS:
            continue
        words = words_of[name]
        # (K - 1, N) → (N,): the best of the other classes.
        others = np.delete(listed, position, axis=0).max(axis=0)
        every = np.stack([vector_of_word[word] for word in words])
        shared = {
            "first": scan.similarity(every[:1]),
            "mean": scan.similarity(normalize_rows(every.mean(axis=0, keepdims=True))),
            "all": scan.similarity(every),
        }
        for word, vector in zip(words, every, strict=True):
            for way, values in {"word": scan.similarity(vector[None]), **shared}.items():
                entry = {"class": name, "word": word, "way": way}
                entry |= {"listed": iou(values > others, truth), "alone": iou(values > 0, truth)}
                rows.append(entry)
    return rows


def main() -> None:
    """Print the IoU of each class by word and by way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="folders of scans")
    parser.add_argument("--weights", default="points-default", help="point weights")
    parser.add_argument("--json", type=Path, help="file to write all rows to")
    args = parser.parse_args()
    labeller = Labeller.open(args.weights, templates=["{}"], device="cpu")
    words = list(dict.fromkeys(word for each in concepts().values() for word in each))
    rows: list[dict[str, object]] = []
    for path in sorted(p for folder in args.folders for p in folder.glob("*.truth.npz")):
        scan = Scan(path, labeller)
        needed = list(dict.fromkeys([*words, *scan.classes]))
        vectors = open_text_encoder("mini")(needed)
        rows += [
            {"scan": path.name[:-10], **row}
            for row in measure(scan, dict(zip(needed, vectors, strict=True)))
        ]
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))
    print_table(rows)


def print_table(rows: list[dict[str, object]]) -> None:
    """Print the mean IoU over scans of each class, by its name and by all words."""
    print(f"{'':24s}" + "".join(f"{way:>22s}" for way in WAYS))
    print(f"{'class':16s}{'words':>8s}" + "   name  mean lowest" * len(WAYS))
    for measured in ("listed", "alone"):
        print(measured)
        totals: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for name in sorted({str(row["class"]) for row in rows}):
            of_class = [row for row in rows if row["class"] == name]
            line = f"{name:16s}{len({row['word'] for row in of_class}):8d}"
            for way in WAYS:
                of_word: dict[str, list[float]] = defaultdict(list)
                for row in of_class:
                    if row["way"] == way:
                        of_word[str(row["word"])].append(100 * float(str(row[measured])))
                means = {word: float(np.mean(values)) for word, values in of_word.items()}
                three = means[name], float(np.mean(list(means.values()))), min(means.values())
                totals[way].append(three)
                line += "".join(f"{value:7.1f}" for value in three) + " "
            print(line)
        print(
            f"{'mean':24s}"
            + "".join(
                "".join(f"{value:7.1f}" for value in np.mean(totals[way], axis=0)) + " "
                for way in WAYS
            )
        )


if __name__ == "__main__":
    main()
