"""Batches by their numbers, prepared ahead by worker processes."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from clip3d_cli.errors import Clip3DError
from clip3d_cli.training.signals import ignore_first_signals

Batch = TypeVar("Batch")

_BATCHES_AHEAD_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class BatchLoader(Generic[Batch]):
    """Makes the batches of given numbers, in order, whichever worker makes which.

    Attributes:
        batch_of: returns the batch of a number, always the same one: its random draws must follow
            from the number. So the number of workers changes nothing, and a resumed training goes
            on with the batches that it has not seen.
        workers: number of worker processes; 0 makes batches in this process when they are needed.
    """

    batch_of: Callable[[int], Batch]
    workers: int = 0

    def __call__(self, numbers: range) -> Iterable[Batch]:
        """Return the batches of some numbers.

        Raises:
            Clip3DError: a batch cannot be made; errors of workers are raised here.
        """
        if self.workers == 0:
            return map(self.batch_of, numbers)
        return self._prepared_ahead(numbers)

    def _prepared_ahead(self, numbers: range) -> Iterator[Batch]:
        loader: DataLoader[Batch | Clip3DError] = DataLoader(
            _NumberedBatches(self.batch_of),
            batch_size=None,
            sampler=numbers,
            num_workers=self.workers,
            prefetch_factor=_BATCHES_AHEAD_PER_WORKER,
            collate_fn=_unchanged,
            worker_init_fn=_init_worker,
        )
        batches: Any = iter(loader)
        # If the training fails, the traceback of the error keeps this generator alive, and with it
        # the workers. Python would wait for them at exit for ever: they ignore the first SIGTERM.
        stop_workers = batches._shutdown_workers
        atexit.register(stop_workers)
        try:
            for batch in batches:
                if isinstance(batch, Clip3DError):
                    raise batch
                yield batch
        finally:
            atexit.unregister(stop_workers)
            stop_workers()


@dataclass(frozen=True, slots=True)
class _NumberedBatches(Dataset[Batch | Clip3DError]):
    """The batches of a function, as the data set that PyTorch's workers expect."""

    batch_of: Callable[[int], Batch]

    def __getitem__(self, number: int) -> Batch | Clip3DError:
        try:
            return self.batch_of(number)
        except Clip3DError as error:
            # PyTorch would turn an exception into the text of its traceback.
            return error


def _unchanged(batch: Batch) -> Batch:
    return batch


def _init_worker(_: int) -> None:
    ignore_first_signals()
