"""Curves for TensorBoard, where that is installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip3d_cli.errors import SetupError


@dataclass(frozen=True, slots=True)
class Curves:
    """Numbers by step, as TensorBoard shows them.

    Attributes:
        writer: PyTorch's ``SummaryWriter``.
    """

    writer: Any

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add a point to every curve."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)


@contextmanager
def open_curves(folder: Path, done: int = 0) -> Iterator[Curves]:
    """Curves that are written to a folder until the block ends.

    Args:
        folder: made if need be.
        done: points of later steps, which a killed run left there, are hidden.

    Raises:
        SetupError: E_CONFIG: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SetupError(
            "E_CONFIG",
            "tensorboard",
            "is asked for and not installed",
            "Run pip install tensorboard, or leave it out of the configuration.",
        ) from error
    writer = SummaryWriter(str(folder), purge_step=done + 1)
    try:
        yield Curves(writer)
    finally:
        writer.close()
