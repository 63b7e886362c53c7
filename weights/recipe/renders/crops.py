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


@dataclass(frozen=True, slots=True)
class Windows:
    """Which parts of images crops show.

    Attributes:
        least: side of the smallest, px before scaling.
        most: side of the largest.
        evenness: how far rare words are brought up to frequent ones: 0 not at all, 1 wholly.
    """

    least: float = 35.0
    most: float = 122.0
    evenness: float = 0.4


def draw_crops(
    rendered: Rendered, count: int, side: int, windows: Windows, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Random crops and what their captions say; words that are rare come up more often.

    Args:
        rendered: the images.
        count: B crops.
        side: of a crop after scaling, px.
        windows: how much of an image a crop shows.
        random: draws.

    Returns:
        (B, 3, side, side) float32 in 0…1, with other light than they had; and (B, K) float32: how
        much the caption makes of every class. Where in the crop it is, is not said.
    """
    row, frames = _frames(rendered, 3 * count, windows, random)
    told = _captions(rendered.class_id[row], frames, side // 2)
    named = told > 0
    rarity = named.float().mean(dim=0).clamp(min=0.01) ** -windows.evenness
    keep = torch.multinomial((named * rarity).amax(dim=1) + 0.1, count, generator=random)
    grid = functional.affine_grid(frames[keep], [count, 3, side, side], align_corners=False)
    light = rendered.images[row[keep]].float() / 255
    crops = functional.grid_sample(light, grid, align_corners=False, padding_mode="border")
    gain = 0.75 + 0.5 * torch.rand(count, 1, 1, 1, generator=random)
    tint = 1 + 0.08 * torch.randn(count, 3, 1, 1, generator=random)
    return (((crops - 0.5) * gain + 0.5) * tint).clamp(0, 1), told[keep]


def _frames(
    rendered: Rendered, count: int, windows: Windows, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(count,) images and (count, 2, 3) which part of them is seen, mirrored or not."""
    high, wide = rendered.images.shape[2:]
    row = torch.randint(len(rendered.images), (count,), generator=random)
    draws = torch.rand(count, 5, generator=random)
    window = windows.least * (windows.most / windows.least) ** draws[:, 0]
    half = torch.stack([window * (1 - 0.25 * draws[:, 4]) / wide, window / high])
    middle = (2 * draws[:, 1:3].T - 1) * (1 - half)
    mirror = torch.where(draws[:, 3] < 0.5, -1.0, 1.0)
    frames = torch.zeros(count, 2, 3)
    frames[:, 0, 0], frames[:, 1, 1] = half[0] * mirror, half[1]
    frames[:, :, 2] = middle.T
    return row, frames


def _captions(class_id: Tensor, frames: Tensor, side: int) -> Tensor:
    """(count, K) float32: the classes that take more than `LEAST_SHARE` of what is seen.

    A caption names the largest first: each weighs half of the one before, together they weigh 1.
    """
    grid = functional.affine_grid(frames, [len(frames), 1, side, side], align_corners=False)
    shown = functional.grid_sample(
        class_id.float(), grid, mode="nearest", align_corners=False, padding_mode="border"
    )
    flat = shown.flatten(1).long()
    counts = torch.zeros(len(frames), len(caption_words()) + 1)
    counts.scatter_add_(1, flat, torch.ones(flat.shape))
    share = counts[:, 1:] / flat.shape[1]
    place = share.argsort(dim=1, descending=True).argsort(dim=1)
    told = torch.where(share > LEAST_SHARE, 0.5**place, 0.0)
    return told / told.sum(dim=1, keepdim=True).clamp(min=1e-6)
