"""Train the small image-text model on rendered images and captions.

    python -m weights.recipe.renders.train --scenes teacher_scenes -o teacher

Supervision is a crop and the words in its caption: never where in the crop a thing is.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from clip3d_cli.text.mini.encoder import MiniTextEncoder
from weights.recipe.renders.crops import (
    Rendered,
    Windows,
    caption_words,
    draw_crops,
    read_rendered,
)
from weights.recipe.renders.model import ImageTextLearner, load_tower, save_model, settings

_AVERAGE = 0.998


def main() -> None:
    """Read the images, train, and write the averaged model now and then."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rendered = read_rendered([path for path in sorted(args.scenes.iterdir()) if _is_scene(path)])
    print(f"{len(rendered.images)} images", flush=True)
    text = MiniTextEncoder()
    config = settings(rendered.images.shape[2], args.width, args.layers, text.space.dim)
    learner = ImageTextLearner(config, *_words(text))
    if args.start:
        load_tower(learner, args.start)
    averaged = copy.deepcopy(learner)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=args.learning_rate, weight_decay=0.02)
    random = torch.Generator().manual_seed(args.seed)
    start, step, losses = time.monotonic(), 0, []
    while (share := _share_done(args, start, step)) < 1:
        loss = _step(learner, optimizer, rendered, args, (share, random))
        losses.append(loss)
        step += 1
        _follow(averaged, learner, min(_AVERAGE, step / (step + 10)))
        if step % args.report_every == 0:
            recent = sum(losses[-args.report_every :]) / args.report_every
            seconds = time.monotonic() - start
            print(f"step {step} loss {recent:.3f} {seconds:.0f} s", flush=True)
            save_model(averaged, config, text.space, args.out, args.image_px)
    save_model(averaged, config, text.space, args.out, args.image_px)
    print(f"{step} steps, {time.monotonic() - start:.0f} s", flush=True)


def _share_done(args: argparse.Namespace, start: float, step: int) -> float:
    if args.steps:
        return step / int(args.steps)
    return (time.monotonic() - start) / (60 * float(args.minutes))


def _step(
    learner: ImageTextLearner,
    optimizer: torch.optim.Optimizer,
    rendered: Rendered,
    args: argparse.Namespace,
    now: tuple[float, torch.Generator],
) -> float:
    share, random = now
    # The last tenths see crops near an image's own size, with as many patches a step.
    side, count, windows = args.crop, args.batch, Windows(*args.windows)
    if share > args.large_from:
        side, count = 2 * args.crop, max(args.batch // 4, 1)
        tallest = float(rendered.images.shape[2])
        windows = replace(windows, least=2 * windows.least, most=tallest)
    rate = args.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
    for group in optimizer.param_groups:
        group["lr"] = rate * min(1.0, 0.05 + 40 * share)
    crops, told = draw_crops(rendered, count, side, windows, random)
    loss = learner.loss(crops, told)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def _follow(averaged: ImageTextLearner, learner: ImageTextLearner, keep: float) -> None:
    for slow, fast in zip(averaged.parameters(), learner.parameters(), strict=True):
        slow.lerp_(fast, 1 - keep)


def _words(text: MiniTextEncoder) -> tuple[Tensor, Tensor]:
    groups = caption_words()
    words = [word for group in groups for word in group]
    owner = [position for position, group in enumerate(groups) for _ in group]
    return torch.from_numpy(text(words)), torch.tensor(owner)


def _is_scene(path: Path) -> bool:
    return (path / "pixels").is_dir() and not path.name.startswith(".")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="written with --pixels")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a model to go on from")
    parser.add_argument("--image-px", type=int, default=384, help="size for reading images")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--steps", type=int, default=0, help="instead of minutes")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--windows",
        type=float,
        nargs=3,
        default=[35.0, 122.0, 0.4],
        metavar=("LEAST", "MOST", "EVENNESS"),
        help="see crops.Windows",
    )
    parser.add_argument("--large-from", type=float, default=0.8)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--report-every", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
