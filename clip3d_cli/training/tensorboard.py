"""Curves for TensorBoard, which is an optional dependency."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip3d_cli.errors import SetupError


@dataclass(frozen=True, slots=True)
class TensorBoardWriter:
    """Writes curves for TensorBoard.

    Attributes:
        writer: ``SummaryWriter`` of PyTorch.
    """

    writer: Any

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add a point at a step to the curve of every number."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)


@contextmanager
def open_tensorboard(folder: Path, steps_done: int = 0) -> Iterator[TensorBoardWriter]:
    """Write curves to a folder until the block ends.

    Args:
        folder: it is created if it does not exist.
        steps_done: points of later steps, which an interrupted run wrote, are hidden.

    Raises:
        SetupError: E_CONFIG: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SetupError(
            "E_CONFIG",
            "run.tensorboard",
            "is true, but TensorBoard is not installed",
            "Run pip install tensorboard, or leave the option out.",
        ) from error
    writer = SummaryWriter(str(folder), purge_step=steps_done + 1)
    try:
        yield TensorBoardWriter(writer)
    finally:
        writer.close()
