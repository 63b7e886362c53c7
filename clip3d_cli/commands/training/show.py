"""A training as lines for people and as documents for programs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from clip3d_cli import __version__
from clip3d_cli.commands.terminal import Voice, stderr_console
from clip3d_cli.commands.training.kind import Config, End, Training
from clip3d_cli.pipelines.training.config import TrainingConfig
from clip3d_cli.training.loop import Step
from clip3d_cli.training.toml_text import flat

if TYPE_CHECKING:
    from rich.progress import Progress

# Over so many steps the rate is found: less jumps, more lags behind.
_RATE_STEPS = 50
_QUIET_S = 30.0
_MINUTE_S = 60
_BAR_WIDTH = 12


class StepLines:
    """How a training goes: a moving line on a terminal, else a plain one every half a minute.

    Args:
        voice: says whether bars move, and whether anything is said.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._total = 0
        self._bar: Progress | None = None
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RATE_STEPS + 1)
        self._said_s = -math.inf

    def __enter__(self) -> StepLines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, total: int, done: int) -> None:
        """Hear how many steps there are, and how many were done in an earlier run."""
        self._total = total
        self._recent.append((done, 0.0))
        if done:
            self._voice.note(f"took up step {done:,} of {total:,}")
        if self._voice.shows_bars:
            from rich.progress import BarColumn, Progress, TextColumn

            bar, line = BarColumn(_BAR_WIDTH), TextColumn("{task.description}", markup=False)
            self._bar = Progress(bar, line, console=stderr_console(), transient=True)
            self._bar.add_task("the first step", total=total, completed=done)
            self._bar.start()

    def step(self, step: Step) -> None:
        """Hear of a step."""
        self._recent.append((step.number, step.seconds))
        if self._bar is not None:
            # A line that is too long would take the room of the bar.
            room = self._bar.console.width - _BAR_WIDTH - 1
            line = self._line(step)[:room]
            self._bar.update(self._bar.task_ids[0], completed=step.number, description=line)
        elif step.seconds - self._said_s >= _QUIET_S or step.number == self._total:
            self._said_s = step.seconds
            self._voice.note(self._line(step))

    def _line(self, step: Step) -> str:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in sorted(step.parts.items()))
        # Last: on a narrow terminal the end is cut off.
        made_of = f"  ({parts})" if parts else ""
        first, since = self._recent[0]
        rate = (step.number - first) / max(step.seconds - since, 1e-9)
        left = duration((self._total - step.number) / rate)
        return (
            f"step {step.number:,}/{self._total:,}  loss {step.loss:.3f}  "
            f"{rate:.2f} steps/s  {left} left{made_of}"
        )


def duration(seconds: float) -> str:
    """A time as people read it: 42 s, 7 min, 3 h 05 min."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE_S)
    if minutes < 2 * _MINUTE_S:
        return f"{minutes} min"
    return f"{minutes // _MINUTE_S} h {minutes % _MINUTE_S:02d} min"


def show_config(config: TrainingConfig, usual: TrainingConfig, voice: Voice) -> None:
    """Say to the curious what is not as by default."""
    defaults = flat(usual.tables())
    for key, value in flat(config.tables()).items():
        if value != defaults[key]:
            voice.detail(f"{key} = {value!r}")


def run_document(training: Training[Config, End], ended: End, seconds: float) -> object:
    """The JSON document of a run."""
    return {
        "schema": f"clip3d.{training.command}/1",
        "clip3d": __version__,
        "run": str(ended.folder),
        "finished": ended.finished,
        "steps": ended.steps,
        "weights": None if ended.weights is None else str(ended.weights),
        "seconds": round(seconds, 3),
        **training.ending(ended),
    }


def plan_document(
    command: str, config: TrainingConfig, folder: Path | None, plan: Mapping[str, int]
) -> object:
    """The JSON document of a dry run."""
    return {
        "schema": f"clip3d.{command}-plan/1",
        "clip3d": __version__,
        "run": None if folder is None else str(folder),
        **plan,
        "config": config.tables(),
    }
