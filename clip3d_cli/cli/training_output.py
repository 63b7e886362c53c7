"""Progress and results of training: lines for people, JSON documents for programs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from clip3d_cli import __version__
from clip3d_cli.cli.terminal import Reporter, stderr_console
from clip3d_cli.pipelines.training.config import TrainingConfig
from clip3d_cli.pipelines.training.run import RunResult
from clip3d_cli.training.loop import StepReport
from clip3d_cli.training.toml_text import flatten_tables

if TYPE_CHECKING:
    from rich.progress import Progress

# Steps over which the rate is averaged: fewer make it jump, more make it lag behind.
_RATE_STEPS = 50
# Without a terminal, one line is printed in this many seconds.
_LINE_INTERVAL_S = 30.0
_MINUTE_S = 60
_BAR_WIDTH = 12


class StepReporter:
    """Reports training steps: a progress bar on a terminal, otherwise a line every 30 seconds.

    Args:
        reporter: prints the lines.
    """

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._total = 0
        self._bar: Progress | None = None
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RATE_STEPS + 1)
        self._last_line_s = -math.inf

    def __enter__(self) -> StepReporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, total: int, done: int) -> None:
        """Report the start.

        Args:
            total: number of steps of the whole training.
            done: number of steps that were done before it was resumed.
        """
        self._total = total
        self._recent.append((done, 0.0))
        if done:
            self._reporter.info(f"resumed at step {done:,} of {total:,}")
        if self._reporter.shows_bars:
            from rich.progress import BarColumn, Progress, TextColumn

            bar, line = BarColumn(_BAR_WIDTH), TextColumn("{task.description}", markup=False)
            self._bar = Progress(bar, line, console=stderr_console(), transient=True)
            self._bar.add_task("first step", total=total, completed=done)
            self._bar.start()

    def step(self, step: StepReport) -> None:
        """Report a step."""
        self._recent.append((step.number, step.seconds))
        if self._bar is not None:
            # A longer line would be wrapped and break the bar.
            width = self._bar.console.width - _BAR_WIDTH - 1
            line = self._line(step)[:width]
            self._bar.update(self._bar.task_ids[0], completed=step.number, description=line)
        elif step.seconds - self._last_line_s >= _LINE_INTERVAL_S or step.number == self._total:
            self._last_line_s = step.seconds
            self._reporter.info(self._line(step))

    def _line(self, step: StepReport) -> str:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in sorted(step.parts.items()))
        # At the end, because narrow terminals cut the line.
        losses = f"  ({parts})" if parts else ""
        first_step, first_s = self._recent[0]
        rate = (step.number - first_step) / max(step.seconds - first_s, 1e-9)
        left = duration((self._total - step.number) / rate)
        return (
            f"step {step.number:,}/{self._total:,}  loss {step.loss:.3f}  "
            f"{rate:.2f} steps/s  {left} left{losses}"
        )


def duration(seconds: float) -> str:
    """Return a duration for people: 42 s, 7 min, 3 h 05 min."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    minutes = round(seconds / _MINUTE_S)
    if minutes < 2 * _MINUTE_S:
        return f"{minutes} min"
    return f"{minutes // _MINUTE_S} h {minutes % _MINUTE_S:02d} min"


def report_config(config: TrainingConfig, defaults: TrainingConfig, reporter: Reporter) -> None:
    """Report, as details, the values that differ from the defaults."""
    default_of_key = flatten_tables(defaults.tables())
    for key, value in flatten_tables(config.tables()).items():
        if value != default_of_key[key]:
            reporter.detail(f"{key} = {value!r}")


def run_document(
    command: str, result: RunResult, seconds: float, entries: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the JSON document of a run.

    Args:
        command: ``pretrain`` or ``finetune``.
        result: how the training ended.
        seconds: duration.
        entries: entries that only this command has.
    """
    return {
        "schema": f"clip3d.{command}/1",
        "clip3d": __version__,
        "run": str(result.folder),
        "finished": result.finished,
        "steps": result.steps,
        "weights": None if result.weights is None else str(result.weights),
        "seconds": round(seconds, 3),
        **entries,
    }


def plan_document(
    command: str, config: TrainingConfig, folder: Path | None, plan: Mapping[str, int]
) -> object:
    """Return the JSON document of a dry run."""
    return {
        "schema": f"clip3d.{command}-plan/1",
        "clip3d": __version__,
        "run": None if folder is None else str(folder),
        **plan,
        "config": config.tables(),
    }
