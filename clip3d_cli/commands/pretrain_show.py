"""A pretraining as lines and tables for people and as documents for programs."""

from __future__ import annotations

import math
import shlex
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from clip3d_cli import __version__
from clip3d_cli.commands.eval_show import show_judged
from clip3d_cli.commands.terminal import Voice, stderr_console
from clip3d_cli.pipelines.evaluate import EvalOptions
from clip3d_cli.pipelines.pretrain import Pretrained
from clip3d_cli.pipelines.pretrain_config import PretrainConfig
from clip3d_cli.training.loop import Step
from clip3d_cli.training.toml_text import flat

if TYPE_CHECKING:
    from rich.progress import Progress

SCHEMA = "clip3d.pretrain/1"
PLAN_SCHEMA = "clip3d.pretrain-plan/1"
# Over so many steps the rate is found: less jumps, more lags behind.
_RATE_STEPS = 50
_QUIET_S = 30.0
_MINUTE_S = 60
_BAR_WIDTH = 12
_USUAL_TEMPLATES = "photo"


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


def show_config(config: PretrainConfig, voice: Voice) -> None:
    """Say to the curious what is not as by default."""
    usual = flat(PretrainConfig().tables())
    for key, value in flat(config.tables()).items():
        if value != usual[key]:
            voice.detail(f"{key} = {value!r}")


def show_end(ended: Pretrained, config: PretrainConfig, voice: Voice) -> None:
    """Say where the weights are, how good they are, and what to type next."""
    if voice.quiet:
        return
    voice.note(f"{ended.steps:,} steps done; weights in {ended.weights}")
    if ended.judged is not None:
        show_judged(ended.judged.evaluation, EvalOptions(), config.data.judged, voice)
    words = _words_to_ask_for(config)
    command = ["clip3d", "label", "scan.ply", "--weights", str(ended.weights), *words]
    voice.note(f"next: {shlex.join(command)}")


def run_document(ended: Pretrained, seconds: float) -> object:
    """The JSON document of a run."""
    return {
        "schema": SCHEMA,
        "clip3d": __version__,
        "run": str(ended.folder),
        "finished": ended.finished,
        "steps": ended.steps,
        "weights": None if ended.weights is None else str(ended.weights),
        "seconds": round(seconds, 3),
        "evaluation": None if ended.judged is None else ended.judged.document,
    }


def plan_document(
    config: PretrainConfig, folder: Path | None, scenes: int, steps: int, processes: int
) -> object:
    """The JSON document of a dry run."""
    return {
        "schema": PLAN_SCHEMA,
        "clip3d": __version__,
        "run": None if folder is None else str(folder),
        "scenes": scenes,
        "steps": steps,
        "processes": processes,
        "config": config.tables(),
    }


def _words_to_ask_for(config: PretrainConfig) -> list[str]:
    """Options of ``clip3d label`` that ask for the words of the training."""
    words = config.words
    listed = Path(config.data.root) / "vocabulary.toml"
    if words.classes:
        options = ["--classes", ",".join(words.classes)]
    elif words.vocabulary == "dataset":
        options = ["--classes", str(listed) if listed.is_file() else "car,tree,road"]
    else:
        kind = "--classes" if Path(words.vocabulary).suffix else "--vocabulary"
        options = [kind, words.vocabulary]
    if words.templates != _USUAL_TEMPLATES:
        options += ["--templates", words.templates]
    return options
