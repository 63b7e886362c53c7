"""Compare a pretrained network with the teacher that it learned from, on other scenes.

    python -m benchmarks.pretraining_evaluate --scenes proof/scenes --teacher proof/teacher \\
        --weights proof/run/points.safetensors --split spare

Prints mIoU, accuracy and IoU per class of the teacher on the points that its images show, of the
network on the same points, and of both on all points. Neither should have been trained on the
split. It takes a few seconds per scene.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from clip3d_cli.labelling.labeller import Labeller
from clip3d_cli.pipelines.evaluate.run import EvalOptions, Evaluation, evaluate, network_predictor
from clip3d_cli.pipelines.evaluate.teacher import teacher_predictor
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.run import open_scenes
from clip3d_cli.pipelines.pretrain.targets import (
    cache_teacher_features,
    open_teacher,
    prepare_targets,
)
from clip3d_cli.pipelines.training.config_sources import with_settings


def main() -> None:
    args = _arguments()
    settings = {"data.root": args.scenes, "data.split": args.split, "teacher.model": args.teacher}
    texts = [f"{key}={str(value)!r}" for key, value in settings.items()]
    texts += ["words.templates=photo", f"teacher.image_px={args.image_px}"]
    config = with_settings(PretrainConfig(), texts)
    dataset, scenes = open_scenes(config)
    if dataset.vocabulary is None:
        raise SystemExit("the scenes have no ground truth")
    with TemporaryDirectory() as folder:
        teacher = open_teacher(config, torch.device("cpu"))
        targets = prepare_targets(config, teacher, scenes, dataset.vocabulary, Path(folder))
        cache_teacher_features(teacher, scenes, targets.folder)
        visible = teacher_predictor(targets.folder, targets.words, config.batch)
        projected = teacher_predictor(
            targets.folder, targets.words, replace(config.batch, occlusion="none")
        )
        encoder = Labeller.open(args.weights, device="cpu").encoder
        network = network_predictor(encoder, targets.words)
        for title, predict, restrict_to in (
            ("teacher, points that images show", visible, visible),
            ("network, the same points", network, visible),
            ("teacher, all points", visible, None),
            ("teacher without occlusion test, all points", projected, None),
            ("network, all points", network, None),
        ):
            _print_scores(
                title, evaluate(dataset, scenes, predict, EvalOptions(restrict_to=restrict_to))
            )


def _print_scores(title: str, evaluation: Evaluation) -> None:
    scores = evaluation.scores()
    names = (entry.name for entry in evaluation.vocabulary.classes)
    classes = ", ".join(
        f"{name} {100 * iou:.0f}" for name, iou in zip(names, scores.iou, strict=True)
    )
    print(f"{title}: mIoU {100 * scores.mean_iou:.1f} %, {100 * scores.accuracy:.1f} % correct of")
    print(f"  {evaluation.points:,} points; IoU % {classes}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=Path, required=True, help="rendered scenes")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the teacher")
    parser.add_argument("--weights", type=Path, required=True, help="weights of the network")
    parser.add_argument("--split", default="spare", help="split to evaluate on (default: spare)")
    parser.add_argument(
        "--image-px", type=int, default=240, help="side at which the teacher reads images"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
