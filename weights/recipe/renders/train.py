"""Train the small image-text model on crops of rendered images and their captions.

python -m weights.recipe.renders.train --scenes lessons -o teacher

Trains for --minutes (15 by default) and writes the moving average of the weights.
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
    CropSizes,
    RenderedImages,
    caption_words,
    draw_crops,
    read_rendered,
)
from weights.recipe.renders.image_text_model import (
    ImageTextLearner,
    load_tower,
    model_config,
    save_model,
)

_AVERAGE_DECAY = 0.998


def main() -> None:
    """Read the images, train, and write the averaged model at intervals and at the end."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rendered = read_rendered([path for path in sorted(args.scenes.iterdir()) if _is_scene(path)])
    print(f"{len(rendered.images)} images", flush=True)
    text = MiniTextEncoder()
    config = model_config(rendered.images.shape[2], args.width, args.layers, text.space.dim)
    learner = ImageTextLearner(config, *_embedded_words(text))
    if args.start:
        load_tower(learner, args.start)
    averaged = copy.deepcopy(learner)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=args.learning_rate, weight_decay=0.02)
    random = torch.Generator().manual_seed(args.seed)
    start, step, losses = time.monotonic(), 0, []
    while (progress := _progress(args, start, step)) < 1:
        losses.append(_train_step(learner, optimizer, rendered, args, (progress, random)))
        step += 1
        _update_average(averaged, learner, min(_AVERAGE_DECAY, step / (step + 10)))
        if step % args.report_every == 0:
            recent = sum(losses[-args.report_every :]) / args.report_every
            seconds = time.monotonic() - start
            print(f"step {step} loss {recent:.3f} {seconds:.0f} s", flush=True)
            save_model(averaged, config, text.space, args.out, args.image_px)
    save_model(averaged, config, text.space, args.out, args.image_px)
    print(f"{step} steps, {time.monotonic() - start:.0f} s", flush=True)


def _progress(args: argparse.Namespace, start: float, step: int) -> float:
    """Return the share of the training that is done, by steps or by time."""
    if args.steps:
        return step / int(args.steps)
    return (time.monotonic() - start) / (60 * float(args.minutes))


def _train_step(
    learner: ImageTextLearner,
    optimizer: torch.optim.Optimizer,
    rendered: RenderedImages,
    args: argparse.Namespace,
    now: tuple[float, torch.Generator],
) -> float:
    """Train on one batch and return its loss; ``now`` is the progress and the generator."""
    progress, random = now
    # The last steps see large crops, nearly whole images, with about as many patches per batch.
    side, count, sizes = args.crop, args.batch, CropSizes(*args.windows)
    if progress > args.large_from:
        side, count = 2 * args.crop, max(args.batch // 4, 1)
        image_height = float(rendered.images.shape[2])
        sizes = replace(sizes, smallest=2 * sizes.smallest, largest=image_height)
    rate = args.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = rate * min(1.0, 0.05 + 40 * progress)
    crops, caption = draw_crops(rendered, count, side, sizes, random)
    loss = learner.loss(crops, caption)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())


@torch.no_grad()
def _update_average(averaged: ImageTextLearner, learner: ImageTextLearner, decay: float) -> None:
    for average, current in zip(averaged.parameters(), learner.parameters(), strict=True):
        average.lerp_(current, 1 - decay)


def _embedded_words(text: MiniTextEncoder) -> tuple[Tensor, Tensor]:
    """Return (W, D) vectors of all caption words and (W,) the class of each."""
    groups = caption_words()
    words = [word for group in groups for word in group]
    class_of_word = [position for position, group in enumerate(groups) for _ in group]
    return torch.from_numpy(text(words)), torch.tensor(class_of_word)


def _is_scene(path: Path) -> bool:
    return (path / "pixels").is_dir() and not path.name.startswith(".")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--scenes", type=Path, required=True, help="folder of scenes written with --pixels")
    add("-o", "--out", type=Path, required=True, help="folder of the model")
    add("--start", type=Path, help="continue from this model")
    add("--image-px", type=int, default=384, help="side of the images that the teacher reads")
    add("--minutes", type=float, default=15.0, help="duration (default: 15)")
    add("--steps", type=int, default=0, help="number of steps, instead of --minutes")
    add("--width", type=int, default=128, help="channels of the transformer (default: 128)")
    add("--layers", type=int, default=4, help="blocks of the transformer (default: 4)")
    add("--crop", type=int, default=64, help="side of crops in pixels (default: 64)")
    add("--batch", type=int, default=64, help="crops per step (default: 64)")
    add(
        "--windows",
        type=float,
        nargs=3,
        default=[35.0, 122.0, 0.4],
        metavar=("SMALLEST", "LARGEST", "BALANCE"),
        help="how crops are drawn; see crops.CropSizes",
    )
    add("--large-from", type=float, default=0.8, help="progress from which crops are large")
    add("--learning-rate", type=float, default=1.5e-3, help="peak learning rate")
    add("--report-every", type=int, default=100, help="steps between reports and saved models")
    add("--threads", type=int, default=2, help="threads of PyTorch (default: 2)")
    add("--seed", type=int, default=0, help="random seed (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
