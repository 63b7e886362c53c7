"""Dense features of any open_clip model with a transformer or a ResNet as its image tower."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from clip3d_cli import registry
from clip3d_cli.core.validation import validate_array
from clip3d_cli.errors import SetupError, UsageError
from clip3d_cli.teachers.attention import VARIANTS
from clip3d_cli.teachers.towers import residual_features, transformer_features
from clip3d_cli.text.openclip.model import OpenClipModel, find_model

DEFAULT_MODEL = "ViT-B-16/openai"

_RESNET_STRIDE = 32
_INSTEAD = (
    "name a folder that holds a model as open_clip writes it: open_clip_config.json and "
    "open_clip_model.safetensors"
)
_OTHERS = "Take a model whose image tower is a ViT or a ResNet of open_clip's own"
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class OpenClipTeacher:
    """Gives every patch of an image a unit vector in the space of a CLIP model's words.

    Attributes:
        name: model, weights, variant and image size, fit for a file's name.
        space: that of the text encoder named ``text_encoder``.
        text_encoder: as text encoders are named: "openclip:<model>/<tag>", "mini", …
        patch: side of a patch in pixels of the resized image, rows and columns.
        image_px: what the shorter side of an image is resized to.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        variant: str = "value",
        image_px: int | None = None,
        cache: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Load a model, from the cache where it is there, else from the hub.

        Args:
            model: "<model>/<tag>", or a folder that holds one, see `find_model`.
            variant: how the last attention is read: a key of `VARIANTS`.
            image_px: what the shorter side of an image is resized to, then to the nearest
                whole number of patches; by default the size of the training images. CLIP2Scene
                takes 224.
            cache: folder of downloads; by default the hub's own.
            device: where to compute.

        Raises:
            UsageError: open_clip knows no such model or tag, there is no such variant, the
                model's tower is not one that can be read so, or images would be smaller than a
                patch.
            SetupError: open_clip cannot be imported, or the weights cannot be had.
        """
        if variant not in VARIANTS:
            raise registry.unknown_name_error("variant of the teacher", variant, VARIANTS)
        found = find_model(model, cache=cache, purpose="teacher", alternative=_INSTEAD)
        # Before a download of gigabytes.
        if "timm_model_name" in found.settings["vision_cfg"]:
            raise _unfit(found, "has an image tower of the package timm")
        self._device = torch.device(device)
        tower = found.load(self._device).visual
        self.patch, trained_px, read = _reader(found, tower, variant)
        self._features = partial(read, tower, variant=VARIANTS[variant])
        self.image_px = trained_px if image_px is None else image_px
        if self.image_px < max(self.patch):
            fault = f"{self.image_px} pixels are less than a patch of {max(self.patch)}"
            raise UsageError("E_USAGE", "teacher's image size", fault, "Say for example 224.")
        self._normal = tuple(
            torch.tensor(tower.preprocess_cfg[key], dtype=torch.float32, device=self._device)
            for key in ("mean", "std")
        )
        self._filter = _FILTERS.get(tower.preprocess_cfg["interpolation"], _FILTERS["bicubic"])
        self.space = found.space
        self.text_encoder = found.text_encoder
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", found.identity)
        self.name = f"{plain}_{variant}_{self.image_px}"

    @torch.inference_mode()
    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """(h, w, D) float32, unit length, of an (H, W, 3) uint8 image.

        The image is resized as a whole, to the nearest whole number of patches: its sides may
        change in proportion by half a patch, and nothing is cropped or padded.

        Raises:
            SetupError: the weights give numbers that are not finite.
        """
        validate_array("image", image, np.uint8, (None, None, 3))
        vectors = functional.normalize(self._features(self._pixels(image)).float(), dim=-1)
        features: npt.NDArray[np.float32] = vectors.cpu().numpy()
        if not np.isfinite(features).all():
            fault = "its weights give numbers that are not finite"
            raise SetupError("E_WEIGHTS", self.name, fault, "Take other weights.")
        return features

    def _pixels(self, image: npt.NDArray[np.uint8]) -> Tensor:
        """(1, 3, H, W) float32: resized, and normalised as the model was trained."""
        sides = image.shape[:2]
        rows, columns = (
            max(1, round(self.image_px * side / min(sides) / step)) * step
            for side, step in zip(sides, self.patch, strict=True)
        )
        resized = Image.fromarray(image).resize((columns, rows), self._filter)
        pixels = torch.from_numpy(np.array(resized)).to(self._device)
        mean, std = self._normal
        return ((pixels / 255 - mean) / std).permute(2, 0, 1)[None]


Read = Callable[..., Tensor]


def _reader(found: OpenClipModel, tower: Any, variant: str) -> tuple[tuple[int, int], int, Read]:
    """Sides of a patch, shorter side of the training images, and what reads the tower."""
    kind = type(tower).__name__
    if kind == "ModifiedResNet":
        return (_RESNET_STRIDE, _RESNET_STRIDE), int(np.min(tower.image_size)), residual_features
    if kind != "VisionTransformer":
        raise _unfit(found, f"has an image tower of another kind: {kind}")
    block = type(tower.transformer.resblocks[-1]).__name__
    if block != "ResidualAttentionBlock":
        raise _unfit(found, f"has blocks of another kind: {block}")
    if tower.attn_pool is not None and tower.attn_pool_contrastive is not None:
        raise _unfit(found, "pools by two attentions")
    if tower.attn_pool is not None and not variant.startswith("value"):
        raise _unfit(found, f"pools by attention, which has no variant {variant!r}")
    return tower.patch_size, min(tower.image_size), transformer_features


def _unfit(found: OpenClipModel, fault: str) -> UsageError:
    return UsageError(
        "E_UNSUPPORTED", found.identity, fault, f"{_OTHERS}, such as {DEFAULT_MODEL}."
    )
