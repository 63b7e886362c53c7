"""The network of the mini text encoder: a small transformer over CLIP's tokens, in numpy.

It is trained in PyTorch, by ``weights/recipe/text``, whose network gives the same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clip3d_cli.text.bpe import CONTEXT_LENGTH, TOKEN_COUNT

Floats = npt.NDArray[np.float32]
Stored = Mapping[str, npt.NDArray[np.generic]]

_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class MiniConfig:
    """The sizes of a `MiniTextNetwork`.

    Attributes:
        dim: D, of the space.
        token_width: channels of a stored token vector.
        width: channels of the transformer, a multiple of ``heads``.
        heads: of the attention.
        layers: of the transformer.
        hidden: channels inside each feed-forward block.
    """

    dim: int = 512
    token_width: int = 128
    width: int = 256
    heads: int = 4
    layers: int = 2
    hidden: int = 512

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor of the network, by its name."""
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
    """Gives vectors, less their common mean, of prompts that have the same number of tokens.

    There is no padding and so no mask: a prompt's vector cannot depend on its neighbours.

    Args:
        config: the sizes.
        stored: the tensors of ``config.shapes()``; one in eight bits has beside it a
            ``<name>.scale`` for each of its rows.

    Attributes:
        mean: (D,) float32, the mean of the space's vectors.

    Raises:
        KeyError: a tensor is missing.
        ValueError: one has a wrong shape.
    """

    def __init__(self, config: MiniConfig, stored: Stored) -> None:
        for name, shape in config.shapes().items():
            if stored[name].shape != shape:
                raise ValueError(f"{name} has shape {stored[name].shape}, not {shape}")
        self._config = config
        # Of fifty thousand tokens' vectors a prompt needs a handful: they stay as they are stored.
        self._tokens = stored["token.weight"], stored["token.weight.scale"]
        rest = (name for name in config.shapes() if name != "token.weight")
        self._weights = {name: _widened(stored, name) for name in rest}
        self.mean = self._weights["mean"]

    def __call__(self, tokens: npt.NDArray[np.int64]) -> Floats:
        """The (P, D) float32 vectors less the space's common mean, for tokens (P, L) int64."""
        vectors, scales = self._tokens
        states = vectors[tokens].astype(np.float32) * scales[tokens].astype(np.float32)
        position = self._weights["position.weight"][: tokens.shape[1]]
        states = self._linear("widen", states) + position
        for block in range(self._config.layers):
            states = self._block(f"blocks.{block}.", states)
        states = self._norm("norm", states)
        share = _softmax(self._linear("attend", states), axis=1)
        pooled = _product("plh,plc->phc", share, states).reshape(len(tokens), -1)
        return _product("pc,dc->pd", pooled, self._weights["project.weight"])

    def _block(self, name: str, states: Floats) -> Floats:
        count, length, width = states.shape
        heads = self._config.heads
        qkv = self._linear(f"{name}qkv", self._norm(f"{name}norm1", states))
        qkv = qkv.reshape(count, length, 3, heads, -1).transpose(2, 0, 3, 1, 4)
        query, key, value = qkv
        nearness = _product("phic,phjc->phij", query, key) / np.float32(np.sqrt(width // heads))
        mixed = _product("phij,phjc->pihc", _softmax(nearness, axis=3), value)
        states = states + self._linear(f"{name}mix", mixed.reshape(count, length, width))
        hidden = _gelu(self._linear(f"{name}expand", self._norm(f"{name}norm2", states)))
        return states + self._linear(f"{name}contract", hidden)

    def _linear(self, name: str, states: Floats) -> Floats:
        product = _product("plc,dc->pld", states, self._weights[f"{name}.weight"])
        return product + self._weights[f"{name}.bias"]

    def _norm(self, name: str, states: Floats) -> Floats:
        centred = states - states.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        normed: Floats = centred / np.sqrt(variance + np.float32(_EPSILON))
        return normed * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _widened(stored: Stored, name: str) -> Floats:
    value = stored[name].astype(np.float32)
    scale = stored.get(f"{name}.scale")
    return value if scale is None else value * scale.astype(np.float32)


def _product(axes: str, left: Floats, right: Floats) -> Floats:
    # Not matmul: its last digits depend on how many threads there are and on the other rows.
    product: Floats = np.einsum(axes, left, right)
    return product


def _softmax(logits: Floats, axis: int) -> Floats:
    share: Floats = np.exp(logits - logits.max(axis=axis, keepdims=True))
    share /= share.sum(axis=axis, keepdims=True)
    return share


def _gelu(states: Floats) -> Floats:
    part: Floats = 1 + _erf(states / np.float32(np.sqrt(2)))
    part *= states
    part /= 2
    return part


def _erf(x: Floats) -> Floats:
    """The error function to 2e-7 (Abramowitz and Stegun 1964, 7.1.26)."""
    t = 1 / (1 + np.float32(0.3275911) * np.abs(x))
    tail = np.zeros_like(x)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        tail = (tail + np.float32(factor)) * t
    return np.sign(x) * (1 - tail * np.exp(-np.square(x)))
