"""Batches by their number, made ahead by worker processes."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.signals import leave_signals_to_parent

Batch = TypeVar("Batch")

_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Prefetched(Generic[Batch]):
    """The batches of any numbers, in order, whichever worker makes them.

    Attributes:
        batch_of: makes the batch of a number, the same one every time it is asked: it must draw
            its random numbers from the number.
        workers: processes that work ahead; 0 to make batches where they are used.
    """

    batch_of: Callable[[int], Batch]
    workers: int = 0

    def __call__(self, numbers: range) -> Iterable[Batch]:
        """The batches of these numbers.

        Raises:
            Clip3DError: a batch cannot be made; what a worker refuses is raised here.
        """
        if self.workers == 0:
            return map(self.batch_of, numbers)
        return self._made_ahead(numbers)

    def _made_ahead(self, numbers: range) -> Iterator[Batch]:
        loader: DataLoader[Batch | Clip3DError] = DataLoader(
            _Numbered(self.batch_of),
            batch_size=None,
            sampler=numbers,
            num_workers=self.workers,
            prefetch_factor=_AHEAD,
            collate_fn=_as_it_is,
            worker_init_fn=_settle,
        )
        supply: Any = iter(loader)
        # An error keeps the loop that it left alive. Python would then wait at its exit, for ever,
        # for workers that take its SIGTERM for one that their parent heard as well.
        end = supply._shutdown_workers
        atexit.register(end)
        try:
            for made in supply:
                if isinstance(made, Clip3DError):
                    raise made
                yield made
        finally:
            atexit.unregister(end)
            end()


@dataclass(frozen=True, slots=True)
class _Numbered(Dataset[Batch | Clip3DError]):
    """A function in the shape that PyTorch's workers take."""

    batch_of: Callable[[int], Batch]

    def __getitem__(self, number: int) -> Batch | Clip3DError:
        try:
            return self.batch_of(number)
        except Clip3DError as refusal:
            # Raised here, it would come out as the text of a traceback.
            return refusal


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _settle(_: int) -> None:
    leave_signals_to_parent()
