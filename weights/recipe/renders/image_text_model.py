"""A small image-text model: the image tower of open_clip, trained against fixed word vectors."""

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

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.teachers.attention import VARIANTS
from clip3d_cli.teachers.towers import positions, transformer_features

# Image normalization per color channel.
MEAN, STD = (0.45, 0.45, 0.45), (0.25, 0.25, 0.25)
_INITIAL_SCALE, _MAX_SCALE = 40.0, 200.0
_POSITIONS = "positional_embedding"
_WEIGHTS = "open_clip_model.safetensors"


def model_config(image_px: int, width: int, layers: int, dim: int) -> dict[str, Any]:
    """Return open_clip's configuration of the model.

    The text tower is not used and as small as open_clip allows.

    Args:
        image_px: side of the images in pixels.
        width: channels of the image tower.
        layers: transformer blocks of the image tower.
        dim: dimensions D of the text space.
    """
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
    """An image tower that learns to agree with the words of captions; word vectors are fixed.

    Source: LiT (Zhai et al. 2022, arXiv 2111.07991), which trains one tower against the other.

    Attributes:
        tower: open_clip's VisionTransformer.
        words: (W, D) unit vectors of all words.
        class_of_word: (W,) the class of each word, below K.
    """

    words: Tensor
    class_of_word: Tensor

    def __init__(self, config: dict[str, Any], words: Tensor, class_of_word: Tensor) -> None:
        """Create an untrained tower; see `model_config` and the class's attributes."""
        super().__init__()
        self.tower = open_clip.CLIP(**config).visual
        # Scales of the similarities of the whole image and of the patches.
        self.log_scale = nn.Parameter(torch.tensor([math.log(_INITIAL_SCALE)] * 2))
        self.register_buffer("words", words)
        self.register_buffer("class_of_word", class_of_word)

    def class_probabilities(self, vectors: Tensor, scale_index: int) -> Tensor:
        """Return (..., K) probabilities: the softmax over all words, summed by class.

        Args:
            vectors: (..., D), of any length.
            scale_index: 0 for vectors of whole images, 1 for vectors of patches.
        """
        scale = self.log_scale[scale_index].exp().clamp(max=_MAX_SCALE)
        unit = functional.normalize(vectors, dim=-1)
        probability = (scale * unit @ self.words.T).softmax(dim=-1)
        classes = int(self.class_of_word.max()) + 1
        summed = torch.zeros(*probability.shape[:-1], classes)
        return summed.index_add(-1, self.class_of_word, probability)

    def loss(self, crops: Tensor, caption: Tensor) -> Tensor:
        """Return the loss of crops against their captions, a scalar.

        The vector of the class token must be nearer to the words of the caption than to all
        others. The patches together must show the classes that the caption names, in about its
        weights, and no others.

        Args:
            crops: (B, 3, H, W) in 0…1.
            caption: (B, K) weights of the classes, as `draw_crops` returns them.
        """
        image_vector, patch_vectors = self.vectors(crops)
        image_loss = _image_loss(self.class_probabilities(image_vector, 0), caption)
        return image_loss + _patch_loss(self.class_probabilities(patch_vectors, 1), caption)

    def vectors(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Return the (B, D) vectors of the class tokens and the (B, P, D) vectors of the patches.

        Patch vectors come from the values of the last attention layer, without attention.

        Source: MaskCLIP (Zhou et al. 2022, arXiv 2112.01071), section 3.
        """
        tower = self.tower
        feats = tower.conv1((crops - _per_channel(MEAN)) / _per_channel(STD))
        grid = (feats.shape[2], feats.shape[3])
        class_token = tower.class_embedding.expand(len(crops), 1, -1)
        tokens = torch.cat([class_token, feats.flatten(2).mT], dim=1)
        tokens = tower.ln_pre(tokens + positions(tower.positional_embedding, tower.grid_size, grid))
        *blocks, last = tower.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        attention = last.attn
        # The third of the input projections (query, key, value) is the value's.
        weight, bias = attention.in_proj_weight.chunk(3)[2], attention.in_proj_bias.chunk(3)[2]
        values = attention.out_proj(functional.linear(last.ln_1(tokens[:, 1:]), weight, bias))
        image_vector = tower.ln_post(last(tokens)[:, 0]) @ tower.proj
        return image_vector, tower.ln_post(values) @ tower.proj

    @torch.inference_mode()
    def dense(self, image: Tensor) -> Tensor:
        """Return (h, w, D) unit vectors of the patches, as clip3d's teacher computes them.

        Args:
            image: (3, H, W) in 0…1.
        """
        pixels = ((image[None] - _per_channel(MEAN)) / _per_channel(STD)).contiguous()
        return functional.normalize(
            transformer_features(self.tower, pixels, VARIANTS["value"]), dim=-1
        )


def _per_channel(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def _image_loss(probability: Tensor, caption: Tensor) -> Tensor:
    """Return the cross-entropy of each named class against all classes that are not named.

    Args:
        probability: (B, K) of the whole images.
        caption: (B, K) weights.
    """
    unnamed = (probability * (caption == 0)).sum(dim=1, keepdim=True)
    log_odds = torch.log(probability + 1e-6) - torch.log(probability + unnamed + 1e-6)
    return -(log_odds * caption).sum(dim=1).mean()


def _patch_loss(probability: Tensor, caption: Tensor) -> Tensor:
    """Return the loss of the patches against what the caption names.

    Args:
        probability: (B, P, K) of the patches.
        caption: (B, K) weights.
    """
    share = probability.mean(dim=1)
    # The 1/16 of the patches that show a class best: captions also name small objects.
    best = probability.topk(max(probability.shape[1] // 16, 1), dim=1).values.mean(dim=1)
    named = caption > 0
    small = -(torch.log(best + 1e-6) * named).sum(dim=1) / named.sum(dim=1).clamp(min=1)
    unnamed = -torch.log1p(-(share * ~named).sum(dim=1).clamp(max=1 - 1e-4))
    return (0.5 * small + unnamed - (torch.log(share + 1e-6) * caption).sum(dim=1)).mean()


def save_model(
    learner: ImageTextLearner,
    config: dict[str, Any],
    space: FeatureSpace,
    folder: Path,
    image_px: int,
) -> None:
    """Write the image tower as an open_clip model, with the name of its text space.

    Args:
        learner: the trained model.
        config: the configuration that it was created from.
        space: the space of its word vectors.
        folder: folder to write to.
        image_px: side of the images that the teacher will read; position embeddings are
            interpolated for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {**config, "vision_cfg": {**config["vision_cfg"], "image_size": image_px}}
    model = open_clip.CLIP(**config)
    state = dict(learner.tower.state_dict())
    state[_POSITIONS] = positions(
        state[_POSITIONS], learner.tower.grid_size, model.visual.grid_size
    )
    model.visual.load_state_dict(state)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / _WEIGHTS, {"format": "pt"})
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    documents = {
        "open_clip_config.json": {"model_cfg": config, "preprocess_cfg": preprocess},
        "clip3d.json": {
            "space": {"name": space.name, "dim": space.dim},
            "text_encoder": "mini",
        },
    }
    for name, document in documents.items():
        text = json.dumps(document, indent=2) + "\n"
        (folder / name).write_text(text, encoding="utf-8")


def load_tower(learner: ImageTextLearner, folder: Path) -> None:
    """Load the image tower that `save_model` wrote into ``learner``, to continue its training."""
    prefix = "visual."
    state = load_file(folder / _WEIGHTS)
    weights = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    # One position for the class token, and one per patch of a square grid.
    side = math.isqrt(len(weights[_POSITIONS]) - 1)
    weights[_POSITIONS] = positions(weights[_POSITIONS], (side, side), learner.tower.grid_size)
    learner.tower.load_state_dict(weights)
