"""A pretrained network beside the teacher it learned from, on scenes that neither trained on.

    python -m benchmarks.pretraining_judge --scenes proof/scenes --teacher proof/teacher \\
        --weights proof/run/points.safetensors --split spare

The teacher answers for the points that its images see; the network is judged on those, and on all.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.pipelines.evaluate.run import EvalOptions, Evaluation, evaluate, network_answer
from clip3d_cli.pipelines.evaluate.teacher import teacher_answer
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.run import open_scenes
from clip3d_cli.pipelines.pretrain.targets import look, open_teacher, targets_of
from clip3d_cli.pipelines.training.config_files import with_settings


def main() -> None:
    args = _arguments()
    settings = {"data.root": args.scenes, "data.split": args.split, "teacher.model": args.teacher}
    texts = [f"{key}={str(value)!r}" for key, value in settings.items()]
    texts += ["words.templates=photo", f"teacher.image_px={args.image_px}"]
    config = with_settings(PretrainConfig(), texts)
    dataset, scenes = open_scenes(config)
    if dataset.vocabulary is None:
        raise SystemExit("the scenes have no truth")
    with TemporaryDirectory() as folder:
        teacher = open_teacher(config, torch.device("cpu"))
        targets = targets_of(config, teacher, scenes, dataset.vocabulary, Path(folder))
        look(teacher, scenes, targets.folder)
        tested = teacher_answer(targets.folder, targets.words, config.batch)
        untested = teacher_answer(
            targets.folder, targets.words, replace(config.batch, occlusion="none")
        )
        student = network_answer(open_encoder(args.weights).encoder, targets.words)
        for title, answer, only in (
            ("teacher, points that images see", tested, tested),
            ("network, the same points", student, tested),
            ("teacher, all points", tested, None),
            ("teacher without occlusion test, all points", untested, None),
            ("network, all points", student, None),
        ):
            _show(title, evaluate(dataset, scenes, answer, EvalOptions(only=only)))


def _show(title: str, found: Evaluation) -> None:
    scores = found.scores()
    names = (entry.name for entry in found.vocabulary.classes)
    classes = ", ".join(
        f"{name} {100 * iou:.0f}" for name, iou in zip(names, scores.iou, strict=True)
    )
    print(f"{title}: mIoU {100 * scores.mean_iou:.1f} %, right {100 * scores.accuracy:.1f} % of")
    print(f"  {found.points:,} points; IoU % {classes}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--split", default="spare")
    parser.add_argument("--image-px", type=int, default=240)
    return parser.parse_args()


if __name__ == "__main__":
    main()
