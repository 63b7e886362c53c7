"""The network that all engines compute: random weights, inputs, and its number of operations."""

from __future__ import annotations

import torch
from torch import Tensor

from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.sparse.neighbours import neighbour_pairs
from clip3d_cli.sparse.plan import Plan

IN_CHANNELS = 4
CLASSES = 20
LEVELS = (1, 2, 4, 8, 16)


def random_weights(layers: int) -> dict[str, Tensor]:
    """Return random weights of a MinkUNet, the same for the same ``layers``.

    Normalizations have random statistics, so that they change the features.

    Convolutions are (K³, Cin, Cout), offsets with x slowest, as everywhere in clip3d.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(layers)
        state = MinkUNet(IN_CHANNELS, CLASSES, layers=layers).state_dict()
        for name, each in state.items():
            # A square of 0.3 · noise + 1 keeps variances positive and features from growing.
            noise = 0.3 * torch.randn(each.shape)
            if name.endswith("running_var"):
                each.copy_((1 + noise).square() + 0.1)
            elif name.endswith("running_mean") or name.endswith("bias"):
                each.copy_(noise)
            elif each.ndim == 1:
                each.copy_(1 + noise)
    return state


def random_feats(rows: int) -> Tensor:
    """Return (rows, 4) normally distributed float32."""
    return torch.randn(rows, IN_CHANNELS, generator=torch.Generator().manual_seed(rows))


def random_classes(rows: int) -> Tensor:
    """Return (rows,) random int64 classes."""
    return torch.randint(CLASSES, (rows,), generator=torch.Generator().manual_seed(rows))


def level_counts(cells: Tensor) -> list[tuple[int, int]]:
    """Return the number of cells of every level, and of pairs of cells that see each other."""
    plan = Plan(cells)
    counts = []
    for stride in LEVELS:
        keys = plan.level(stride).keys
        pairs = sum(len(each.targets) for each in neighbour_pairs(keys, 3))
        counts.append((len(keys), pairs))
    return counts


def needed_operations(state: dict[str, Tensor], counts: list[tuple[int, int]]) -> int:
    """Return the multiplications and additions of one forward pass over existing pairs of cells."""
    total = 0
    for name, weight in state.items():
        if weight.ndim < 2:
            continue
        cells, pairs = counts[_level(name)]
        if weight.ndim == 2 or len(weight) == 1:
            used = cells
        else:
            # A kernel of two cells has one pair for every finer cell.
            used = counts[_level(name) - 1][0] if name.startswith("down") else cells
            used = pairs if len(weight) == 27 else used
        total += 2 * used * weight.shape[-1] * weight.shape[-2]
    return total


def _level(name: str) -> int:
    """Return the level of the rows that a weight fills."""
    part, _, rest = name.partition(".")
    if part == "down":
        return int(rest[0]) + 1
    return 3 - int(rest[0]) if part == "up" else 0
