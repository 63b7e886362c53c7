"""Teacher made of an open_clip model whose image tower is a transformer or a ResNet."""

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
_FOLDER_REMEDY = (
    "give a folder with a model as open_clip writes it: open_clip_config.json and "
    "open_clip_model.safetensors"
)
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class OpenClipTeacher:
    """Teacher made of the image tower of a CLIP model: see `Teacher`.

    Attributes:
        name: model, weights, variant and image size as part of a file name.
        space: space of the vectors, which is that of the text encoder.
        text_encoder: name of the text encoder, such as ``openclip:ViT-B-16/openai`` or ``mini``.
        patch: height and width of a patch, pixels of the resized image.
        image_px: length that the shorter side of an image is resized to, pixels.
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
        """Load a model from the cache, or download it from the hub.

        Args:
            model: "<model>/<tag>", or a folder with a model; see `find_model`.
            variant: replacement for the last attention, a key of `VARIANTS`.
            image_px: length that the shorter side of an image is resized to, pixels. Both sides
                are then rounded to a whole number of patches. None takes the size of the training
                images; CLIP2Scene takes 224.
            cache: folder of downloads; None takes that of the hub.
            device: device on which the model runs.

        Raises:
            UsageError: the model, the tag or the variant is unknown; the image tower is not
                supported; or images would be smaller than a patch.
            SetupError: open_clip cannot be imported, or the weights cannot be loaded.
        """
        if variant not in VARIANTS:
            raise registry.unknown_name_error("variant of the teacher", variant, VARIANTS)
        found = find_model(model, cache=cache, purpose="teacher", alternative=_FOLDER_REMEDY)
        # Checked before gigabytes are downloaded.
        if "timm_model_name" in found.settings["vision_cfg"]:
            raise _unsupported(found, "has an image tower of the package timm")
        self._device = torch.device(device)
        tower = found.load(self._device).visual
        self.patch, trained_px, features_of_tower = _check_tower(found, tower, variant)
        self._features = partial(features_of_tower, tower, variant=VARIANTS[variant])
        self.image_px = trained_px if image_px is None else image_px
        if self.image_px < max(self.patch):
            fault = f"{self.image_px} pixels are less than a patch of {max(self.patch)}"
            raise UsageError("E_USAGE", "teacher's image size", fault, "Use for example 224.")
        self._mean_and_std = tuple(
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
        """Return the vectors of an image.

        The whole image is resized; nothing is cropped or padded. Each side is rounded to a whole
        number of patches, so that the aspect ratio may change a little.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            (h, w, D) float32 of unit length.

        Raises:
            SetupError: E_WEIGHTS: the model computes values that are not finite.
        """
        validate_array("image", image, np.uint8, (None, None, 3))
        vectors = functional.normalize(self._features(self._pixels(image)).float(), dim=-1)
        features: npt.NDArray[np.float32] = vectors.cpu().numpy()
        if not np.isfinite(features).all():
            fault = "computes values that are not finite"
            raise SetupError("E_WEIGHTS", self.name, fault, "Use other weights.")
        return features

    def _pixels(self, image: npt.NDArray[np.uint8]) -> Tensor:
        """Return an image (1, 3, H, W) float32, resized and normalised as in training."""
        sides = image.shape[:2]
        rows, columns = (
            max(1, round(self.image_px * side / min(sides) / step)) * step
            for side, step in zip(sides, self.patch, strict=True)
        )
        resized = Image.fromarray(image).resize((columns, rows), self._filter)
        pixels = torch.from_numpy(np.array(resized)).to(self._device)
        mean, std = self._mean_and_std
        return ((pixels / 255 - mean) / std).permute(2, 0, 1)[None]


FeaturesOfTower = Callable[..., Tensor]


def _check_tower(
    found: OpenClipModel, tower: Any, variant: str
) -> tuple[tuple[int, int], int, FeaturesOfTower]:
    """Return the sides of a patch, the shorter side of the training images, and a function.

    The function computes the vectors of the patches with the tower.

    Raises:
        UsageError: E_UNSUPPORTED: the tower, or the variant for this tower.
    """
    kind = type(tower).__name__
    if kind == "ModifiedResNet":
        return (_RESNET_STRIDE, _RESNET_STRIDE), int(np.min(tower.image_size)), residual_features
    if kind != "VisionTransformer":
        raise _unsupported(found, f"has an image tower that is not supported: {kind}")
    block = type(tower.transformer.resblocks[-1]).__name__
    if block != "ResidualAttentionBlock":
        raise _unsupported(found, f"has blocks that are not supported: {block}")
    if tower.attn_pool is not None and tower.attn_pool_contrastive is not None:
        raise _unsupported(found, "pools by two attentions")
    if tower.attn_pool is not None and not variant.startswith("value"):
        raise _unsupported(found, f"pools by attention, for which there is no variant {variant!r}")
    return tower.patch_size, min(tower.image_size), transformer_features


def _unsupported(found: OpenClipModel, fault: str) -> UsageError:
    remedy = f"Use a model with a ViT or a ResNet of open_clip, such as {DEFAULT_MODEL}."
    return UsageError("E_UNSUPPORTED", found.identity, fault, remedy)
