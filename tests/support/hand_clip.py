"""CLIP's image tower in numpy, computed from its weights and the definitions of its parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from tiny_clip import MEAN, STD, VIT, random_model, settings

Array = npt.NDArray[np.float64]
KINDS = {
    "plain": settings(VIT),
    "quick gelu": settings(VIT, quick_gelu=True),
    "one layer": settings({**VIT, "layers": 1}),
    "no ln_pre": settings({**VIT, "no_ln_pre": True}),
    "mean pool": settings({**VIT, "pool_type": "avg", "final_ln_after_pool": True}),
    "layer scale": settings({**VIT, "ls_init_value": 0.5}),
    "oblong": settings({**VIT, "image_size": [32, 48]}),
}
POOL = {**VIT, "attentional_pool": True, "attn_pooler_queries": 5, "attn_pooler_heads": 2}


def coca(embed_dim: int) -> dict[str, Any]:
    text = {"width": embed_dim, "heads": 2, "layers": 1, "context_length": 76}
    return {
        **settings(POOL, custom_text=True, multimodal_cfg=text),
        "embed_dim": embed_dim,
        "text_cfg": {**text, "embed_cls": True, "output_tokens": True},
    }


def picture(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cubic(distance: Array) -> Array:
    """Return the cubic convolution kernel of Keys with a = −1/2."""
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def resampling(old: int, new: int) -> Array:
    """Return the weights, (new, old), of a bicubic resize with antialiasing."""
    step = old / new
    middle = (np.arange(new) + 0.5) * step - 0.5
    weights = cubic((np.arange(old)[None] - middle[:, None]) / max(step, 1))
    return weights / weights.sum(axis=1, keepdims=True)


class Hand:
    """A vision transformer in numpy, computed from its weights."""

    def __init__(self, model_cfg: dict[str, Any]) -> None:
        self.cfg = model_cfg["vision_cfg"]
        self.quick = model_cfg.get("quick_gelu", False)
        state = random_model(model_cfg).visual.state_dict()
        self.w = {name: value.double().numpy() for name, value in state.items()}
        self.heads = self.cfg["width"] // self.cfg["head_width"]

    def norm(self, x: Array, name: str) -> Array:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def linear(self, x: Array, name: str) -> Array:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def mlp(self, x: Array, block: str) -> Array:
        x = self.linear(self.norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        gate = (
            1 / (1 + np.exp(-1.702 * x))
            if self.quick
            else np.vectorize(lambda v: (1 + math.erf(v / 2**0.5)) / 2)(x)
        )
        return self.linear(x * gate, f"{block}.mlp.c_proj") * self.w.get(f"{block}.ls_2.gamma", 1)

    def attention(self, x: Array, block: str, mix: Callable[..., Array]) -> Array:
        x = self.norm(x, f"{block}.ln_1")
        both = x @ self.w[f"{block}.attn.in_proj_weight"].T + self.w[f"{block}.attn.in_proj_bias"]
        parts = np.split(both, 3, axis=1)
        per_head = [np.split(part, self.heads, axis=1) for part in parts]
        mixed = np.hstack([mix(*qkv) for qkv in zip(*per_head, strict=True)])
        return self.linear(mixed, f"{block}.attn.out_proj") * self.w.get(f"{block}.ls_1.gamma", 1)

    def before_last(self, image: npt.NDArray[np.uint8], blocks: int) -> Array:
        pixels = (image / 255 - np.array(MEAN)) / np.array(STD)
        side, (height, width) = self.cfg["patch_size"], image.shape[:2]
        h, w = height // side, width // side
        cut = pixels.reshape(h, side, w, side, 3).transpose(0, 2, 4, 1, 3).reshape(h * w, -1)
        patches = cut @ self.w["conv1.weight"].reshape(self.cfg["width"], -1).T
        learned = self.w["positional_embedding"]
        rows, columns = (int(s) // side for s in np.broadcast_to(self.cfg["image_size"], 2))
        image_of = learned[1:].reshape(rows, columns, -1)
        places = np.einsum("yr,xc,rcd->yxd", resampling(rows, h), resampling(columns, w), image_of)
        tokens = np.vstack([self.w["class_embedding"], patches])
        tokens = tokens + np.vstack([learned[:1], places.reshape(h * w, -1)])
        tokens = tokens if self.cfg.get("no_ln_pre") else self.norm(tokens, "ln_pre")
        for number in range(blocks):
            name = f"transformer.resblocks.{number}"
            tokens = tokens + self.attention(tokens, name, usual)
            tokens = tokens + self.mlp(tokens, name)
        return tokens

    def dense(
        self, image: npt.NDArray[np.uint8], mix: Callable[..., Array], whole: bool = False
    ) -> Array:
        last = self.cfg["layers"] - 1
        tokens = self.before_last(image, last)
        name = f"transformer.resblocks.{last}"
        attended = self.attention(tokens, name, mix)
        if whole:
            attended = attended + tokens
            attended = attended + self.mlp(attended, name)
        vectors = self.norm(attended, "ln_post") @ self.w["proj"]
        side = self.cfg["patch_size"]
        return unit(vectors[1:]).reshape(image.shape[0] // side, image.shape[1] // side, -1)


def usual(q: Array, k: Array, v: Array) -> Array:
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


def own(q: Array, k: Array, v: Array) -> Array:
    return v


def correlative(q: Array, k: Array, v: Array) -> Array:
    root = np.sqrt(q.shape[1])
    return (softmax(q @ q.T / root) + softmax(k @ k.T / root)) @ v


def nearby(grid: tuple[int, int], q: Array, k: Array, v: Array) -> Array:
    logits = k @ k.T / np.sqrt(k.shape[1])
    for one in range(grid[0] * grid[1]):
        for other in range(grid[0] * grid[1]):
            (r, c), (s, d) = divmod(one, grid[1]), divmod(other, grid[1])
            logits[1 + one, 1 + other] += np.exp(-((r - s) ** 2 + (c - d) ** 2) / 50)
    return softmax(logits) @ v
