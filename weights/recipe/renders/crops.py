"""Crops of rendered images with the words of their captions: what image-level supervision is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from weights.recipe.renders.classes import SKY, SKY_WORDS, scene_classes

# What takes less of a crop than this, nobody would mention.
LEAST_SHARE = 0.03
_TALLEST = 1.9


@dataclass(frozen=True, slots=True)
class Rendered:
    """Images and what their pixels show.

    Attributes:
        images: (n, 3, H, W) uint8.
        class_id: (n, 1, H, W) uint8: 0 nothing to name, then the classes, the last is the sky.
    """

    images: Tensor
    class_id: Tensor


def caption_words() -> tuple[tuple[str, ...], ...]:
    """The words of every class that captions name, the sky's last."""
    return (*(entry.words for entry in scene_classes()), SKY_WORDS)


def read_rendered(folders: list[Path]) -> Rendered:
    """Every image of some scenes that were written with ``--pixels``."""
    images, shown = [], []
    for path in sorted(path for folder in folders for path in (folder / "images").iterdir()):
        images.append(np.asarray(Image.open(path)))
        numbers = np.array(Image.open(path.parent.parent / "pixels" / f"{path.stem}.png"))
        numbers[numbers == SKY] = len(scene_classes()) + 1
        shown.append(numbers)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return Rendered(pixels, torch.from_numpy(np.stack(shown))[:, None])


def draw_crops(
    rendered: Rendered, count: int, side: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random crops and what their captions say.

    Args:
        rendered: the images.
        count: B crops.
        side: of a crop after scaling, px.
        random: draws.

    Returns:
        (B, 3, side, side) float32 in 0…1, with other light than they had; and (B, K) bool: which
        classes' words stand in the caption. Where in the crop they are is not said.
    """
    high, wide = rendered.images.shape[2:]
    row = torch.randint(len(rendered.images), (count,), generator=random)
    draws = torch.rand(count, 8, generator=random)
    # A crop shows at most the whole height; its size before scaling is half to twice `side`.
    most = min(_TALLEST, high / side)
    zoom = 0.55 * (most / 0.55) ** draws[:, 0]
    half = zoom * side / torch.tensor([[wide], [high]])
    middle = (2 * draws[:, 1:3].T - 1) * (1 - half)
    mirror = torch.where(draws[:, 3] < 0.5, -1.0, 1.0)
    squeeze = 1 - 0.25 * draws[:, 4]
    frame = torch.zeros(count, 2, 3)
    frame[:, 0, 0], frame[:, 1, 1] = half[0] * mirror * squeeze, half[1]
    frame[:, :, 2] = middle.T
    grid = functional.affine_grid(frame, [count, 3, side, side], align_corners=False)
    light = rendered.images[row].float() / 255
    crops = functional.grid_sample(light, grid, align_corners=False, padding_mode="border")
    shown = functional.grid_sample(
        rendered.class_id[row].float(),
        grid,
        mode="nearest",
        align_corners=False,
        padding_mode="border",
    )
    classes = len(caption_words())
    counts = torch.zeros(count, classes + 1)
    flat = shown.flatten(1).long()
    counts.scatter_add_(1, flat, torch.ones(flat.shape))
    gain = 0.75 + 0.5 * draws[:, 5].view(-1, 1, 1, 1)
    tint = 1 + 0.08 * torch.randn(count, 3, 1, 1, generator=random)
    crops = (((crops - 0.5) * gain + 0.5) * tint).clamp(0, 1)
    return crops, counts[:, 1:] / flat.shape[1] > LEAST_SHARE
