"""Signals that ask a training to stop after the step it is in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(slots=True)
class Stop:
    """Whether someone asked to stop.

    Attributes:
        asked: set once, by a signal or by hand; never taken back.
    """

    asked: bool = False


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A `Stop` that SIGTERM and Ctrl-C ask, each once: the second time they do what they did.

    In a thread other than the main one, which hears no signals, only a hand can ask.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def ask(number: int, _: FrameType | None) -> None:
        stop.asked = True
        signal.signal(number, before[signal.Signals(number)])

    for number in _SIGNALS:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            signal.signal(number, before[number])


def leave_signals_to_parent() -> None:
    """Let a worker process live through Ctrl-C and two SIGTERMs; the third one ends it.

    torchrun and batch systems signal whole groups of processes, and where both do, twice: a worker
    that ended would take the step with it that its parent wants to end. The parent ends workers
    by other means first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _live_once_more)


def _live_once_more(number: int, _: FrameType | None) -> None:
    signal.signal(number, _listen_next_time)


def _listen_next_time(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
