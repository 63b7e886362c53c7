"""Muon: momentum whose matrices are orthogonalized, beside AdamW for all other parameters.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024),
https://kellerjordan.github.io/posts/muon. A convolution's kernel is the matrix of its offsets and
input channels by its output channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# Coefficients of the quintic iteration, from the source.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_ADAM_EPS = 1e-8
# RMS of an orthogonalized update relative to that of Adam, so that both use one learning rate:
# Liu et al., "Muon is scalable for LLM training" (2025), Section 2.2.
_ADAM_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Muon for groups with ``orthogonal``, AdamW for the others.

    Args:
        groups: parameter groups, each with ``orthogonal``, and optionally ``weight_decay``.
        lr: learning rate.
        weight_decay: of groups that do not say.
        momentum: of orthogonalized groups.
        betas: of AdamW.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "betas": betas,
            "orthogonal": False,
        }
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("this optimizer takes no closure")
        for group in self.param_groups:
            update = self._orthogonal_update if group["orthogonal"] else self._adam_update
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(update(parameter, group), alpha=group["lr"])

    def _orthogonal_update(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(parameter.grad, 1 - group["momentum"])  # type: ignore[arg-type]
        # Nesterov: as if the momentum had seen the gradient once more.
        update = torch.lerp(parameter.grad, momentum, group["momentum"])  # type: ignore[arg-type]
        matrix = update.reshape(-1, update.shape[-1])
        scale = _ADAM_RMS * max(matrix.shape) ** 0.5
        return orthogonalized(matrix).mul_(scale).reshape(parameter.shape)

    def _adam_update(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        grad = parameter.grad
        assert grad is not None  # noqa: S101 - for mypy; `step` has checked it
        (beta, beta_sq), mean, square = group["betas"], state["exp_avg"], state["exp_avg_sq"]
        state["step"] += 1
        steps = float(state["step"])
        mean.lerp_(grad, 1 - beta)
        square.mul_(beta_sq).addcmul_(grad, grad, value=1 - beta_sq)
        deviation = (square / (1 - beta_sq**steps)).sqrt_().add_(_ADAM_EPS)
        update: Tensor = mean / (1 - beta**steps) / deviation
        return update


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return a matrix with the same singular vectors, and singular values of about 1.

    Args:
        matrix: (R, C) float32.

    Returns:
        (R, C), singular values mostly in 0.7…1.2 (the iteration does not converge further).
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    # A step is x ← (a + b g + c g²) x with the Gram matrix g = x xᵀ. All factors commute, as they
    # are polynomials of the first g: the steps are made on the small g, and x is read twice only.
    gram = x @ x.T
    product = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for _ in range(_ITERATIONS):
        factor = _B * gram + _C * gram @ gram
        factor.diagonal().add_(_A)
        product = factor @ product
        gram = factor @ gram @ factor
    result: Tensor = product @ x
    return result.T if tall else result
