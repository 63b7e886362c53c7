"""The last, linear layer of a network on the native engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class NativeHead:
    """The last, linear layer, and the triangular factor that gives its answers' lengths.

    Attributes:
        whole: (C + 1, D) float64, the weight above the bias.
        factor: (C + 1, r) float64, r ≤ C + 1: |x @ whole| is |x @ factor| for every x.
    """

    whole: npt.NDArray[np.float64]
    factor: npt.NDArray[np.float64]

    @classmethod
    def of(cls, weight: Floats, bias: Floats | None) -> NativeHead:
        """The layer of a weight (D, C) and a bias (D,)."""
        last = np.zeros(len(weight)) if bias is None else bias
        whole = np.vstack((weight.T, last)).astype(np.float64)
        _, triangle = np.linalg.qr(whole.T)
        return cls(whole, triangle.T)

    def plain(self) -> tuple[Floats, Floats]:
        """The weight (C, D) and shift (D,) that give the layer's own answers."""
        return _split(self.whole)

    def asked(self, words: Floats) -> tuple[Floats, Floats]:
        """The weight (C, r + W) and shift (r + W,) that give factors of lengths, and products."""
        # Not matmul, whose last digits depend on how many threads there are.
        products = np.einsum("cd,wd->cw", self.whole, words.astype(np.float64))
        return _split(np.hstack((self.factor, products)))


def _split(both: npt.NDArray[np.float64]) -> tuple[Floats, Floats]:
    single = both.astype(np.float32)
    return single[:-1], np.ascontiguousarray(single[-1])
