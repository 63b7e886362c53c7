"""Training of the network on names and target vectors."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from clip3d_cli.text.bpe import ClipTokenizer
from clip3d_cli.text.mini.network import MiniConfig
from weights.recipe.text.network import MiniTextNetwork
from weights.recipe.text.training_targets import TrainingTargets

MAX_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Schedule:
    """Length and learning rates of a training.

    Attributes:
        draws: number of prompts in total.
        batch: prompts per step.
        rate: peak learning rate of all parameters except the token vectors.
        token_rate: peak learning rate of the token vectors, which start from MiniLM's.
        wrapped: share of prompts in which the name is in a random template instead of "a {}".
        seed: seed of the batches and of the initial weights.
    """

    draws: int = 450_000
    batch: int = 256
    rate: float = 1.5e-3
    token_rate: float = 1.5e-3
    wrapped: float = 0.1
    seed: int = 0


def train_student(
    targets: TrainingTargets,
    mean: np.ndarray,
    initial_tokens: np.ndarray,
    templates: Sequence[str],
    tokenizer: ClipTokenizer,
    schedule: Schedule,
) -> MiniTextNetwork:
    """Train a network, and return it in evaluation mode.

    Args:
        targets: names and their offsets from the mean.
        mean: (512,) float32, mean vector of the space.
        initial_tokens: (49408, C) float32, initial token vectors.
        templates: sentences with ``{}`` for the name that should not change the vector.
        tokenizer: CLIP's tokenizer.
        schedule: length and learning rates.
    """
    torch.manual_seed(schedule.seed)
    config = MiniConfig(token_width=initial_tokens.shape[1])
    network = MiniTextNetwork(config)
    with torch.no_grad():
        network.token.weight.copy_(torch.from_numpy(initial_tokens))
        network.position.weight.mul_(0.1)
        network.project.weight.mul_(0.05)
        network.mean.copy_(torch.from_numpy(mean))
    # A batch contains few of the 49,408 tokens.
    network.token.sparse = True
    others = [p for name, p in network.named_parameters() if not name.startswith("token.")]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam(network.token.parameters(), lr=schedule.token_rate),
        torch.optim.AdamW(others, lr=schedule.rate, betas=(0.9, 0.98), weight_decay=0.02),
    ]
    steps = schedule.draws // schedule.batch
    rates = [
        torch.optim.lr_scheduler.LambdaLR(each, lambda step: _rate_factor(step / steps))
        for each in optimizers
    ]
    draw_batch = _BatchSampler(targets, templates, tokenizer, schedule)
    started, running = time.time(), 0.0
    for step in range(steps):
        network.zero_grad(set_to_none=True)
        losses = [_loss(network(tokens), offsets) for tokens, offsets in draw_batch()]
        loss = torch.cat(losses).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.step()
            rate.step()
        total = float(loss.detach())
        running = total if step == 0 else 0.98 * running + 0.02 * total
        if step % 100 == 0 or step == steps - 1:
            print(f"student step {step}/{steps} loss {running:.4f} {time.time() - started:.0f} s")
    return network.eval()


def _loss(offsets: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return (P,): one minus the cosine, plus a tenth of the squared relative error of length."""
    angle = 1 - functional.cosine_similarity(offsets, targets, dim=1)
    length = offsets.norm(dim=1) / targets.norm(dim=1) - 1
    loss: torch.Tensor = angle + 0.1 * length**2
    return loss


def _rate_factor(progress: float) -> float:
    """Return the factor of the learning rate: a linear warmup of 5 %, then a cosine to 0.01."""
    warmup = min(1.0, progress / 0.05 + 0.01)
    return warmup * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


class _BatchSampler:
    """Draws prompts by their weight, and groups them by length, so that nothing is padded."""

    def __init__(
        self,
        targets: TrainingTargets,
        templates: Sequence[str],
        tokenizer: ClipTokenizer,
        schedule: Schedule,
    ) -> None:
        self._name_tokens = [tokenizer.tokens(name)[:MAX_TOKENS] for name in targets.names]
        self._offsets = torch.from_numpy(targets.offsets)
        # Row r is drawn for numbers from cumulative[r - 1] to cumulative[r].
        self._cumulative = np.cumsum(targets.weight.astype(np.float64) / targets.weight.sum())
        # Tokens before and after the name.
        self._plain, *self._templates = [
            tuple(tokenizer.tokens(side) for side in text.split("{}"))
            for text in ("a {}", *templates)
        ]
        self._rng = np.random.default_rng(schedule.seed)
        self._schedule = schedule

    def __call__(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return groups of tokens (P, L) and offsets (P, 512)."""
        rows = np.searchsorted(self._cumulative, self._rng.random(self._schedule.batch))
        rows = np.minimum(rows, len(self._cumulative) - 1)
        by_length: dict[int, list[tuple[list[int], int]]] = {}
        for row in rows:
            before, after = self._plain
            if self._rng.random() < self._schedule.wrapped:
                before, after = self._templates[self._rng.integers(len(self._templates))]
            tokens = [*before, *self._name_tokens[row], *after]
            by_length.setdefault(len(tokens), []).append((tokens, row))
        return [
            (torch.tensor([t for t, _ in group]), self._offsets[[r for _, r in group]])
            for group in by_length.values()
        ]
