"""Network of the mini text encoder: a small transformer over CLIP's tokens, in numpy.

It is trained in PyTorch: `weights.recipe.text.network` computes the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.text.bpe import CONTEXT_LENGTH, TOKEN_COUNT

Floats = npt.NDArray[np.float32]
Tensors = Mapping[str, npt.NDArray[np.generic]]

_NORM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class MiniConfig:
    """Sizes of a `MiniTextNetwork`.

    Attributes:
        dim: dimensions D of the output.
        token_width: channels of a stored token vector.
        width: channels of the transformer, a multiple of ``heads``.
        heads: number of attention heads.
        layers: number of transformer blocks.
        hidden: channels inside the feed-forward part of a block.
    """

    dim: int = 512
    token_width: int = 128
    width: int = 256
    heads: int = 4
    layers: int = 2
    hidden: int = 512

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor of the network, by its name."""
        width = self.width
        layers = {
            "widen": (width, self.token_width),
            "norm": (width,),
            "attend": (self.heads, width),
        }
        for block in range(self.layers):
            layers |= {
                f"blocks.{block}.norm1": (width,),
                f"blocks.{block}.qkv": (3 * width, width),
                f"blocks.{block}.mix": (width, width),
                f"blocks.{block}.norm2": (width,),
                f"blocks.{block}.expand": (self.hidden, width),
                f"blocks.{block}.contract": (width, self.hidden),
            }
        return {
            "token.weight": (TOKEN_COUNT, self.token_width),
            "position.weight": (CONTEXT_LENGTH, width),
            "project.weight": (self.dim, width * self.heads),
            "mean": (self.dim,),
            **{f"{name}.weight": shape for name, shape in layers.items()},
            **{f"{name}.bias": shape[:1] for name, shape in layers.items()},
        }


class MiniTextNetwork:
    """Computes the offset of prompts from the mean vector of the space.

    All prompts of a call have the same number of tokens. There is no padding and therefore no
    mask, so the vector of a prompt does not depend on the other prompts.

    Args:
        config: sizes of the network.
        tensors: tensors of ``config.shapes()``. A tensor in eight bits has a second tensor
            ``<name>.scale`` with one factor per row.

    Attributes:
        mean: (D,) float32, mean vector of the space.

    Raises:
        KeyError: a tensor is missing.
        ValueError: a tensor has another shape.
    """

    def __init__(self, config: MiniConfig, tensors: Tensors) -> None:
        for name, shape in config.shapes().items():
            if tensors[name].shape != shape:
                raise ValueError(f"{name} has shape {tensors[name].shape}, not {shape}")
        self._config = config
        # A prompt needs a handful of the fifty thousand token vectors: these stay in eight bits.
        self._tokens = tensors["token.weight"], tensors["token.weight.scale"]
        others = (name for name in config.shapes() if name != "token.weight")
        self._weights = {name: _dequantize(tensors, name) for name in others}
        self.mean = self._weights["mean"]

    def __call__(self, tokens: npt.NDArray[np.int64]) -> Floats:
        """Return vectors minus the mean of the space, (P, D) float32.

        Args:
            tokens: (P, L) int64, L tokens of each of P prompts.
        """
        vectors, scales = self._tokens
        # States are (P, L, channels) throughout.
        states = vectors[tokens].astype(np.float32) * scales[tokens].astype(np.float32)
        position = self._weights["position.weight"][: tokens.shape[1]]
        states = self._linear("widen", states) + position
        for block in range(self._config.layers):
            states = self._block(f"blocks.{block}.", states)
        states = self._norm("norm", states)
        # Attention pooling: each head is a weighted mean over the tokens.
        attention = _softmax(self._linear("attend", states), axis=1)
        pooled = _product("plh,plc->phc", attention, states).reshape(len(tokens), -1)
        return _product("pc,dc->pd", pooled, self._weights["project.weight"])

    def _block(self, name: str, states: Floats) -> Floats:
        """Apply a transformer block with layer normalization before each part."""
        prompts, length, width = states.shape
        heads = self._config.heads
        qkv = self._linear(f"{name}qkv", self._norm(f"{name}norm1", states))
        # (P, L, 3, heads, channels) → (3, P, heads, L, channels)
        qkv = qkv.reshape(prompts, length, 3, heads, -1).transpose(2, 0, 3, 1, 4)
        query, key, value = qkv
        logits = _product("phic,phjc->phij", query, key) / np.float32(np.sqrt(width // heads))
        mixed = _product("phij,phjc->pihc", _softmax(logits, axis=3), value)
        states = states + self._linear(f"{name}mix", mixed.reshape(prompts, length, width))
        hidden = _gelu(self._linear(f"{name}expand", self._norm(f"{name}norm2", states)))
        return states + self._linear(f"{name}contract", hidden)

    def _linear(self, name: str, states: Floats) -> Floats:
        product = _product("plc,dc->pld", states, self._weights[f"{name}.weight"])
        return product + self._weights[f"{name}.bias"]

    def _norm(self, name: str, states: Floats) -> Floats:
        centered = states - states.mean(axis=-1, keepdims=True)
        variance = np.square(centered).mean(axis=-1, keepdims=True)
        normed: Floats = centered / np.sqrt(variance + np.float32(_NORM_EPSILON))
        return normed * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _dequantize(tensors: Tensors, name: str) -> Floats:
    """Return a tensor as float32, multiplied by the factors of its rows if it has any."""
    value = tensors[name].astype(np.float32)
    scale = tensors.get(f"{name}.scale")
    return value if scale is None else value * scale.astype(np.float32)


def _product(axes: str, left: Floats, right: Floats) -> Floats:
    # Not matmul: its last digits depend on the number of threads and on the other rows.
    product: Floats = np.einsum(axes, left, right)
    return product


def _softmax(logits: Floats, axis: int) -> Floats:
    share: Floats = np.exp(logits - logits.max(axis=axis, keepdims=True))
    share /= share.sum(axis=axis, keepdims=True)
    return share


def _gelu(states: Floats) -> Floats:
    result: Floats = 1 + _erf(states / np.float32(np.sqrt(2)))
    result *= states
    result /= 2
    return result


def _erf(x: Floats) -> Floats:
    """Return the error function with an absolute error below 2e-7.

    Source: Abramowitz and Stegun 1964, equation 7.1.26.
    """
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    tail = np.zeros_like(x)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail = (tail + np.float32(factor)) * t
    return np.sign(x) * (1 - tail * np.exp(-np.square(x)))
