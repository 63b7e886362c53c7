"""One network for all engines: its weights, and the multiplications it cannot do without."""

from __future__ import annotations

import torch
from torch import Tensor

from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.sparse.neighbours import neighbour_pairs
from clip3d_cli.sparse.plan import Plan

IN_CHANNELS = 4
CLASSES = 20
LEVELS = (1, 2, 4, 8, 16)


def made_up_weights(layers: int) -> dict[str, Tensor]:
    """The state of a MinkUNet with norms that do something; the same for the same ``layers``.

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


def made_up_feats(rows: int) -> Tensor:
    """(rows, 4) float32, normal."""
    return torch.randn(rows, IN_CHANNELS, generator=torch.Generator().manual_seed(rows))


def made_up_truth(rows: int) -> Tensor:
    """(rows,) int64 classes."""
    return torch.randint(CLASSES, (rows,), generator=torch.Generator().manual_seed(rows))


def level_counts(cells: Tensor) -> list[tuple[int, int]]:
    """How many cells every level has, and how many pairs of cells that see each other."""
    plan = Plan(cells)
    counts = []
    for stride in LEVELS:
        keys = plan.level(stride).keys
        pairs = sum(len(each.targets) for each in neighbour_pairs(keys, 3))
        counts.append((len(keys), pairs))
    return counts


def needed_operations(state: dict[str, Tensor], counts: list[tuple[int, int]]) -> int:
    """Multiplications and additions of one forward pass over pairs of cells that exist."""
    total = 0
    for name, weight in state.items():
        if weight.ndim < 2:
            continue
        cells, pairs = counts[_level(name)]
        if weight.ndim == 2 or len(weight) == 1:
            used = cells
        else:
            # A kernel of two cells sees every finer cell once.
            used = counts[_level(name) - 1][0] if name.startswith("down") else cells
            used = pairs if len(weight) == 27 else used
        total += 2 * used * weight.shape[-1] * weight.shape[-2]
    return total


def _level(name: str) -> int:
    """At which level the rows lie that a weight fills."""
    part, _, rest = name.partition(".")
    if part == "down":
        return int(rest[0]) + 1
    return 3 - int(rest[0]) if part == "up" else 0
