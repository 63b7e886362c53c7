"""The small image-text model: an open_clip network, and its losses against words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from clip3d_cli.core.vocabulary import FeatureSpace
from clip3d_cli.teachers.attention import VARIANTS
from clip3d_cli.teachers.towers import positions, transformer_features

MEAN, STD = (0.45, 0.45, 0.45), (0.25, 0.25, 0.25)
_START_SCALE, _MOST_SCALE = 40.0, 200.0
_POSITIONS = "positional_embedding"
_WEIGHTS = "open_clip_model.safetensors"


def settings(image_px: int, width: int, layers: int, dim: int) -> dict[str, Any]:
    """What open_clip builds the model from; its text tower is as small as can be, and unused."""
    return {
        "embed_dim": dim,
        "vision_cfg": {
            "image_size": image_px,
            "layers": layers,
            "width": width,
            "head_width": 32,
            "patch_size": 8,
        },
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 8,
            "heads": 1,
            "layers": 1,
        },
    }


class ImageTextLearner(nn.Module):
    """An image tower that learns to agree with the words of captions; the words are locked.

    After LiT (Zhai et al. 2022, arXiv 2111.07991): only the image side learns.

    Attributes:
        tower: open_clip's VisionTransformer.
        words: (W, D) unit vectors; ``class_of_word`` (W,) says of which class each is.
    """

    words: Tensor
    class_of_word: Tensor

    def __init__(self, config: dict[str, Any], words: Tensor, class_of_word: Tensor) -> None:
        super().__init__()
        self.tower = open_clip.CLIP(**config).visual
        self.log_scale = nn.Parameter(torch.tensor([math.log(_START_SCALE)] * 2))
        self.register_buffer("words", words)
        self.register_buffer("class_of_word", class_of_word)

    def shares(self, vectors: Tensor, which: int) -> Tensor:
        """(..., K) softmax over all words of (..., D) vectors, summed by class."""
        scale = self.log_scale[which].exp().clamp(max=_MOST_SCALE)
        chance = (scale * functional.normalize(vectors, dim=-1) @ self.words.T).softmax(dim=-1)
        classes = int(self.class_of_word.max()) + 1
        summed = torch.zeros(*chance.shape[:-1], classes)
        return summed.index_add(-1, self.class_of_word, chance)

    def loss(self, crops: Tensor, told: Tensor) -> Tensor:
        """How badly (B, 3, H, W) crops agree with the words of their captions.

        The image's vector (the class token) must lie nearer to its caption's words than to all
        others. So must the patches, read as MaskCLIP reads them, on the whole: they must show
        what a caption names, most of all what it names first, and nothing else.

        Args:
            crops: 0…1.
            told: (B, K) how much a caption makes of every class, as `draw_crops` gives it.
        """
        whole, patches = self.vectors(crops)
        return _named_loss(self.shares(whole, 0), told) + _seen_loss(self.shares(patches, 1), told)

    def vectors(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) of the class token, and (B, P, D) of the patches by the value path."""
        tower = self.tower
        feats = tower.conv1((crops - _column(MEAN)) / _column(STD))
        grid = (feats.shape[2], feats.shape[3])
        start = tower.class_embedding.expand(len(crops), 1, -1)
        tokens = torch.cat([start, feats.flatten(2).mT], dim=1)
        tokens = tower.ln_pre(tokens + positions(tower.positional_embedding, tower.grid_size, grid))
        *blocks, last = tower.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        attention = last.attn
        weight, bias = attention.in_proj_weight.chunk(3)[2], attention.in_proj_bias.chunk(3)[2]
        values = attention.out_proj(functional.linear(last.ln_1(tokens[:, 1:]), weight, bias))
        whole = tower.ln_post(last(tokens)[:, 0]) @ tower.proj
        return whole, tower.ln_post(values) @ tower.proj

    @torch.inference_mode()
    def dense(self, image: Tensor) -> Tensor:
        """(h, w, D) unit vectors of a (3, H, W) image in 0…1, as clip3d's teacher reads them."""
        pixels = ((image[None] - _column(MEAN)) / _column(STD)).contiguous()
        return functional.normalize(
            transformer_features(self.tower, pixels, VARIANTS["value"]), dim=-1
        )


def _column(three: tuple[float, float, float]) -> Tensor:
    return torch.tensor(three).view(1, 3, 1, 1)


def _named_loss(share: Tensor, told: Tensor) -> Tensor:
    """Minus the log of what each named class has against all that is not named."""
    others = (share * (told == 0)).sum(dim=1, keepdim=True)
    each = torch.log(share + 1e-6) - torch.log(share + others + 1e-6)
    return -(each * told).sum(dim=1).mean()


def _seen_loss(share: Tensor, told: Tensor) -> Tensor:
    """The (B, P, K) patches must show what is told, in about those shares."""
    part = share.mean(dim=1)
    # The patches that show a class best: small things are named as well.
    best = share.topk(max(share.shape[1] // 16, 1), dim=1).values.mean(dim=1)
    named = told > 0
    small = -(torch.log(best + 1e-6) * named).sum(dim=1) / named.sum(dim=1).clamp(min=1)
    absent = -torch.log1p(-(part * ~named).sum(dim=1).clamp(max=1 - 1e-4))
    return (0.5 * small + absent - (torch.log(part + 1e-6) * told).sum(dim=1)).mean()


def save_model(
    learner: ImageTextLearner,
    config: dict[str, Any],
    space: FeatureSpace,
    folder: Path,
    image_px: int,
) -> None:
    """Write the image tower as open_clip writes a model, and which words it agrees with.

    Args:
        learner: what was trained.
        config: what its tower was built from.
        space: of the words.
        folder: where to write.
        image_px: the size at which images are to be read; positions are interpolated for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {**config, "vision_cfg": {**config["vision_cfg"], "image_size": image_px}}
    model = open_clip.CLIP(**config)
    learned = dict(learner.tower.state_dict())
    learned[_POSITIONS] = positions(
        learned[_POSITIONS], learner.tower.grid_size, model.visual.grid_size
    )
    model.visual.load_state_dict(learned)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / _WEIGHTS, {"format": "pt"})
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    described = {"model_cfg": config, "preprocess_cfg": preprocess}
    ours = {"space": {"name": space.name, "dim": space.dim}, "text_encoder": "mini"}
    for name, table in (("open_clip_config.json", described), ("clip3d.json", ours)):
        text = json.dumps(table, indent=2) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def load_tower(learner: ImageTextLearner, folder: Path) -> None:
    """Go on from the image tower that `save_model` wrote."""
    prefix = "visual."
    stored = load_file(folder / _WEIGHTS)
    weights = {
        name.removeprefix(prefix): value
        for name, value in stored.items()
        if name.startswith(prefix)
    }
    side = math.isqrt(len(weights[_POSITIONS]) - 1)
    weights[_POSITIONS] = positions(weights[_POSITIONS], (side, side), learner.tower.grid_size)
    learner.tower.load_state_dict(weights)
