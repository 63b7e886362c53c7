"""Training of the mini text encoder on lessons."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from clip3d_cli.text.bpe import ClipTokenizer
from clip3d_cli.text.mini.network import MiniConfig
from weights.recipe.text.labels import Lessons
from weights.recipe.text.merges import open_clip_merges
from weights.recipe.text.network import MiniTextNetwork

MAX_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        draws: prompts seen in all.
        batch: prompts per step.
        rate: peak learning rate of all but the token vectors.
        token_rate: peak learning rate of the token vectors, which start from MiniLM.
        wrapped: share of prompts shown inside another template.
        seed: of drawing and of the first weights.
    """

    draws: int = 450_000
    batch: int = 256
    rate: float = 1.5e-3
    token_rate: float = 1.5e-3
    wrapped: float = 0.1
    seed: int = 0


def train_student(
    lessons: Lessons,
    mean: np.ndarray,
    token_start: np.ndarray,
    templates: Sequence[str],
    schedule: Schedule,
) -> MiniTextNetwork:
    """Give a network trained to answer ``lessons``.

    Args:
        lessons: names and their offsets.
        mean: (512,) of the space.
        token_start: (49408, C) first token vectors.
        templates: other sentences with a ``{}`` for the name, which should change nothing.
        schedule: how long and how fast.
    """
    torch.manual_seed(schedule.seed)
    config = MiniConfig(token_width=token_start.shape[1])
    network = MiniTextNetwork(config)
    with torch.no_grad():
        network.token.weight.copy_(torch.from_numpy(token_start))
        network.position.weight.mul_(0.1)
        network.project.weight.mul_(0.05)
        network.mean.copy_(torch.from_numpy(mean))
    # A batch touches few of the 49,408 tokens.
    network.token.sparse = True
    rest = [p for name, p in network.named_parameters() if not name.startswith("token.")]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam(network.token.parameters(), lr=schedule.token_rate),
        torch.optim.AdamW(rest, lr=schedule.rate, betas=(0.9, 0.98), weight_decay=0.02),
    ]
    steps = schedule.draws // schedule.batch
    rates = [
        torch.optim.lr_scheduler.LambdaLR(each, lambda step: _share_of_rate(step / steps))
        for each in optimizers
    ]
    draw = _Drawer(lessons, templates, schedule)
    started, running = time.time(), 0.0
    for step in range(steps):
        network.zero_grad(set_to_none=True)
        losses = [_loss(network(tokens), wanted) for tokens, wanted in draw()]
        loss = torch.cat(losses).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(rest, 1.0)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            optimizer.step()
            rate.step()
        total = float(loss.detach())
        running = total if step == 0 else 0.98 * running + 0.02 * total
        if step % 100 == 0 or step == steps - 1:
            print(f"student step {step}/{steps} loss {running:.4f} {time.time() - started:.0f} s")
    return network.eval()


def _loss(offsets: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Give (P,): one minus the cosine of the offsets, and the error of their length."""
    angle = 1 - functional.cosine_similarity(offsets, wanted, dim=1)
    length = offsets.norm(dim=1) / wanted.norm(dim=1) - 1
    loss: torch.Tensor = angle + 0.1 * length**2
    return loss


def _share_of_rate(progress: float) -> float:
    """Rise over the first twentieth, then fall along a cosine to one hundredth."""
    rise = min(1.0, progress / 0.05 + 0.01)
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


class _Drawer:
    """Draws batches by weight and splits them by length, so that nothing is padded."""

    def __init__(self, lessons: Lessons, templates: Sequence[str], schedule: Schedule) -> None:
        tokenizer = ClipTokenizer(open_clip_merges())
        self._name_tokens = [tokenizer.tokens(name)[:MAX_TOKENS] for name in lessons.names]
        self._offsets = torch.from_numpy(lessons.offsets)
        self._share = np.cumsum(lessons.weight.astype(np.float64) / lessons.weight.sum())
        self._plain, *self._templates = [
            tuple(tokenizer.tokens(side) for side in text.split("{}"))
            for text in ("a {}", *templates)
        ]
        self._rng = np.random.default_rng(schedule.seed)
        self._schedule = schedule

    def __call__(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        rows = np.searchsorted(self._share, self._rng.random(self._schedule.batch))
        rows = np.minimum(rows, len(self._share) - 1)
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
