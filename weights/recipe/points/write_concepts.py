"""Write what point weights were trained on, and how well they know it, into their file.

    python -m weights.recipe.points.write_concepts WEIGHTS --data ../shared/data \
        --scans runs/points/cooldown/scans --validation held-out

`clip3d label` and `clip3d words` read it, to warn of words of which the weights have seen nothing.
The tensors in the file stay as they are. It takes about five minutes for 200 simulated scans on one
core.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save

from clip3d_cli.encoders.concepts import Concept
from clip3d_cli.encoders.weights_file import SPEC_KEY, read_spec
from clip3d_cli.formats.atomic import atomic_write
from clip3d_cli.labelling.labeller import Labeller
from weights.recipe.points.concepts import concepts_of, seen_leaves
from weights.recipe.points.evaluate import SUITES, evaluate, open_labeller
from weights.recipe.points.scan_lists import read_lists
from weights.recipe.points.sources import read_simulated_scan
from weights.recipe.points.taxonomy import Taxonomy
from weights.recipe.points.train import WEIGHT_OF_SOURCE

# A leaf is evaluated in scans with this many points of it.
_LEAST_POINTS = 20


def simulated_iou(labeller: Labeller, paths: Iterable[Path]) -> dict[str, float]:
    """Return the IoU of each concept over simulated scans, by its name.

    Each scan is labelled by the names of the concepts that are in it.
    """
    words_of_leaf = Taxonomy.read().words_of_leaf
    both: dict[str, int] = defaultdict(int)
    either: dict[str, int] = defaultdict(int)
    for path in paths:
        scan = read_simulated_scan(path, "")
        # Points that may be of any of several concepts are not evaluated; the last is that of −1.
        names_of_set = [{words_of_leaf[leaf][0] for leaf in each} for each in scan.leaf_sets]
        names = sorted(set().union(*(each for each in names_of_set if len(each) == 1)))
        class_of_set = np.array(
            [names.index(min(each)) if len(each) == 1 else -1 for each in names_of_set] + [-1]
        )
        truth = class_of_set[scan.leaf_set_of_point]
        predicted = labeller.label(scan.cloud, names, background="none").class_index
        for position, name in enumerate(names):
            is_true, is_predicted = truth == position, (predicted == position) & (truth >= 0)
            if is_true.sum() >= _LEAST_POINTS:
                both[name] += int((is_true & is_predicted).sum())
                either[name] += int((is_true | is_predicted).sum())
    return {name: both[name] / either[name] for name in either}


def real_iou(labeller: Labeller, data: Path) -> dict[str, float]:
    """Return the mean IoU of each class over the suites that were kept out of training.

    Classes that few points of a suite belong to are left out, as in its mean.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for suite in SUITES.values():
        if not suite.in_training:
            result = evaluate(labeller, suite, data)
            rare = result["left out of the mean"]
            scores: Mapping[str, float] = result["IoU"]  # type: ignore[assignment]
            for name, value in scores.items():
                if name not in rare:  # type: ignore[operator]
                    values[name].append(value)
    return {name: float(np.mean(of_name)) for name, of_name in values.items()}


def with_iou(
    concepts: Iterable[Concept], kind: str, iou: Mapping[str, float]
) -> tuple[Concept, ...]:
    """Return the concepts with the IoU of one kind of validation scans, in two digits."""
    return tuple(
        replace(each, iou={**each.iou, kind: round(iou[each.name], 2)})
        if each.name in iou
        else each
        for each in concepts
    )


def write_concepts(path: Path, concepts: tuple[Concept, ...]) -> None:
    """Replace the concepts in a weights file; its tensors stay as they are to the bit."""
    spec = replace(read_spec(path), concepts=concepts)
    with safe_open(path, framework="np") as file:
        metadata = {**(file.metadata() or {}), SPEC_KEY: spec.to_json()}
        tensors: dict[str, npt.NDArray[np.generic]] = {
            name: file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118
        }
    content = save(tensors, metadata)
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def main() -> None:
    """Find out what the weights have seen and what they reach, and write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="safetensors file of a point encoder")
    parser.add_argument("--data", type=Path, required=True, help="the folder ../shared/data")
    parser.add_argument(
        "--scans", type=Path, required=True, help="lists of the training's scans, in its run"
    )
    parser.add_argument(
        "--validation", type=Path, required=True, help="simulated scans of other seeds"
    )
    args = parser.parse_args()
    taxonomy = Taxonomy.read()
    concepts = concepts_of(
        taxonomy, seen_leaves(read_lists(args.scans), WEIGHT_OF_SOURCE, taxonomy)
    )
    labeller = open_labeller(args.weights)
    paths = sorted(args.validation.glob("*/*.npz"))
    concepts = with_iou(concepts, "simulated", simulated_iou(labeller, paths))
    concepts = with_iou(concepts, "real", real_iou(labeller, args.data))
    write_concepts(args.weights, concepts)
    for concept in concepts:
        print(json.dumps([concept.name, concept.seen, dict(concept.iou)]), flush=True)


if __name__ == "__main__":
    main()
