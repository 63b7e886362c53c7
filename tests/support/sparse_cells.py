"""Small random clouds for the tests of sparse convolution."""

from __future__ import annotations

import torch
from torch import Tensor

EDGE = 10


def random_cells(rows: int, clouds: int = 2, seed: int = 0) -> Tensor:
    """Unique cells, sorted, with negative coordinates and an even low corner."""
    draw = torch.Generator().manual_seed(seed)
    every = torch.cartesian_prod(*(torch.arange(n) for n in (clouds, EDGE, EDGE, EDGE)))
    chosen = every[torch.randperm(len(every), generator=draw)[:rows].sort().values]
    return (chosen - torch.tensor([0, 4, 6, 2])).int()
