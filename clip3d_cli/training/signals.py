"""Signals that ask a training to stop after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class StopRequest:
    """Whether the training should stop after the current step.

    Attributes:
        requested: set by a signal or by the program, and never reset.
    """

    requested: bool = False


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Return a `StopRequest` that the first SIGTERM and the first Ctrl-C set.

    A second signal of the same kind does what it did before. Python delivers signals to the main
    thread only; in another thread only the program can request a stop.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def request_stop(number: int, _: FrameType | None) -> None:
        stop.requested = True
        signal.signal(number, before[signal.Signals(number)])

    for number in _SIGNALS:
        signal.signal(number, request_stop)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])


def ignore_first_signals() -> None:
    """Let a worker process ignore Ctrl-C and two SIGTERMs; the third SIGTERM ends it.

    torchrun and batch systems send a signal to all processes of a group, and where both do, twice.
    A worker that ended at once would end the step that its parent still wants to finish. The
    parent stops its workers by other means before a third signal comes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _ignore_first)


def _ignore_first(number: int, _: FrameType | None) -> None:
    signal.signal(number, _ignore_second)


def _ignore_second(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
