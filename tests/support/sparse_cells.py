"""Small random clouds for the tests of sparse convolution."""

from __future__ import annotations

import torch
from torch import Tensor

EDGE = 10


def random_cells(rows: int, clouds: int = 2, seed: int = 0) -> Tensor:
    """(rows, 4) int32 unique sorted cells, some negative, in a box with an even lowest corner."""
    draw = torch.Generator().manual_seed(seed)
    all_cells = torch.cartesian_prod(*(torch.arange(n) for n in (clouds, EDGE, EDGE, EDGE)))
    chosen = all_cells[torch.randperm(len(all_cells), generator=draw)[:rows].sort().values]
    return (chosen - torch.tensor([0, 4, 6, 2])).int()
