"""Crops of rendered images with captions: the image-level supervision of the teacher.

A caption says which classes a crop shows, the largest first, and not where in the crop they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from weights.recipe.renders.classes import SKY, SKY_WORDS, scene_classes

# Captions leave out classes that cover a smaller share of the crop.
MIN_CAPTION_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class RenderedImages:
    """Images and the class of every pixel.

    Attributes:
        images: (n, 3, H, W) uint8.
        class_id: (n, 1, H, W) uint8: 0 no class, then the scene classes, the last is the sky.
    """

    images: Tensor
    class_id: Tensor


def caption_words() -> tuple[tuple[str, ...], ...]:
    """Return the words of each of the K classes of captions: the scene classes and the sky."""
    return (*(entry.words for entry in scene_classes()), SKY_WORDS)


def read_rendered(folders: list[Path]) -> RenderedImages:
    """Return all images of scenes that were written with ``--pixels``."""
    images, class_ids = [], []
    for path in sorted(path for folder in folders for path in (folder / "images").iterdir()):
        images.append(np.asarray(Image.open(path)))
        class_id = np.array(Image.open(path.parent.parent / "pixels" / f"{path.stem}.png"))
        class_id[class_id == SKY] = len(scene_classes()) + 1
        class_ids.append(class_id)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return RenderedImages(pixels, torch.from_numpy(np.stack(class_ids))[:, None])


@dataclass(frozen=True, slots=True)
class CropSizes:
    """How crops are drawn.

    Attributes:
        smallest: side of the smallest crop in image pixels.
        largest: side of the largest crop in image pixels.
        balance: how much more often crops with rare classes are drawn, from 0 (not at all) to 1
            (so that classes are about equally frequent).
    """

    smallest: float = 35.0
    largest: float = 122.0
    balance: float = 0.4


def draw_crops(
    rendered: RenderedImages, count: int, side: int, sizes: CropSizes, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return random crops and their captions.

    Args:
        rendered: the images.
        count: B crops.
        side: side of the returned crops in pixels, after scaling.
        sizes: how crops are drawn.
        random: random generator.

    Returns:
        (B, 3, side, side) float32 in 0…1, with random brightness and tint; and (B, K) float32, the
        weight of every class in the caption: rows sum to 1, or to 0 if a crop shows no class.
    """
    # Three times as many candidates, of which crops with rare classes are preferred.
    image, transform = _draw_transforms(rendered, 3 * count, sizes, random)
    caption = _captions(rendered.class_id[image], transform, side // 2)
    named = caption > 0
    rarity = named.float().mean(dim=0).clamp(min=0.01) ** -sizes.balance
    keep = torch.multinomial((named * rarity).amax(dim=1) + 0.1, count, generator=random)
    grid = functional.affine_grid(transform[keep], [count, 3, side, side], align_corners=False)
    pixels = rendered.images[image[keep]].float() / 255
    crops = functional.grid_sample(pixels, grid, align_corners=False, padding_mode="border")
    contrast = 0.75 + 0.5 * torch.rand(count, 1, 1, 1, generator=random)
    tint = 1 + 0.08 * torch.randn(count, 3, 1, 1, generator=random)
    return (((crops - 0.5) * contrast + 0.5) * tint).clamp(0, 1), caption[keep]


def _draw_transforms(
    rendered: RenderedImages, count: int, sizes: CropSizes, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the image of each crop, (count,) int64, and its place, (count, 2, 3) for affine_grid.

    Half of the crops are mirrored, and some are a little narrower than high.
    """
    height, width = rendered.images.shape[2:]
    image = torch.randint(len(rendered.images), (count,), generator=random)
    draws = torch.rand(count, 5, generator=random)
    side = sizes.smallest * (sizes.largest / sizes.smallest) ** draws[:, 0]
    # Half extents and middle in affine_grid's coordinates, −1…1 over the image: (2, count).
    half = torch.stack([side * (1 - 0.25 * draws[:, 4]) / width, side / height])
    middle = (2 * draws[:, 1:3].T - 1) * (1 - half)
    mirror = torch.where(draws[:, 3] < 0.5, -1.0, 1.0)
    transform = torch.zeros(count, 2, 3)
    transform[:, 0, 0], transform[:, 1, 1] = half[0] * mirror, half[1]
    transform[:, :, 2] = middle.T
    return image, transform


def _captions(class_id: Tensor, transform: Tensor, side: int) -> Tensor:
    """Return (count, K) float32 the weight of every class in the captions of crops.

    A caption names the classes that cover more than `MIN_CAPTION_SHARE`, the largest first. Each
    has half the weight of the one before it, and weights sum to 1.
    """
    grid = functional.affine_grid(transform, [len(transform), 1, side, side], align_corners=False)
    shown = functional.grid_sample(
        class_id.float(), grid, mode="nearest", align_corners=False, padding_mode="border"
    )
    # Count the pixels of each class per crop: (count, 1 + K), where column 0 has no class.
    flat = shown.flatten(1).long()
    counts = torch.zeros(len(transform), len(caption_words()) + 1)
    counts.scatter_add_(1, flat, torch.ones(flat.shape))
    share = counts[:, 1:] / flat.shape[1]
    # Rank of each class by its share, 0 for the largest.
    rank = share.argsort(dim=1, descending=True).argsort(dim=1)
    weight = torch.where(share > MIN_CAPTION_SHARE, 0.5**rank, 0.0)
    return weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-6)
