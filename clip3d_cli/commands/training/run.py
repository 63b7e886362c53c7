"""A training in this process, and what a training would do."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clip3d_cli.commands.door import INTERRUPTED
from clip3d_cli.commands.terminal import Voice, counted, give, give_json, say
from clip3d_cli.commands.training.asked import Asked
from clip3d_cli.commands.training.kind import Config, End, Training
from clip3d_cli.commands.training.show import StepLines, plan_document, run_document, show_config
from clip3d_cli.errors import Clip3DError, UsageError
from clip3d_cli.labelling.devices import choose_device
from clip3d_cli.pipelines.training.config import loop_options
from clip3d_cli.pipelines.training.run import Hearing
from clip3d_cli.training.distributed import World, joined_world
from clip3d_cli.training.loop import Step
from clip3d_cli.training.tensorboard import Curves, open_curves
from clip3d_cli.training.toml_text import toml_text


def nothing() -> None:
    """Let it begin."""


def train_alone(training: Training[Config, End], config: Config, asked: Asked, voice: Voice) -> int:
    """The exit code of a training in this process.

    Raises:
        Clip3DError: of the training.
    """
    world, reason = _world_alone(config.run.device)
    voice.note(f"device: {world.device} ({reason})")
    return train_in(training, world, config, asked, voice)


def train_in(
    training: Training[Config, End],
    world: World,
    config: Config,
    asked: Asked,
    voice: Voice,
    on_begin: Callable[[], None] = nothing,
) -> int:
    """The exit code of a training in one process of a world: 130 when a signal stopped it.

    Args:
        training: what is trained.
        world: this process among others.
        config: every option.
        asked: where to, and whether to resume.
        voice: hears how it goes.
        on_begin: called when the first step is about to begin.

    Raises:
        Clip3DError: of the training.
    """
    show_config(config, training.usual, voice)
    folder = asked.folder or Path()
    began = time.perf_counter()
    curves: list[Curves] = []
    with ExitStack() as stack:
        lines = stack.enter_context(StepLines(voice))
        stack.enter_context(joined_world(world))

        def begin(total: int, done: int) -> None:
            on_begin()
            if config.run.tensorboard and world.leads:
                curves.append(stack.enter_context(open_curves(folder / "tensorboard", done)))
            lines.begin(total, done)

        def hear(step: Step) -> None:
            lines.step(step)
            for each in curves:
                each.add(step.number, {"loss": step.loss, **step.parts})

        stack.enter_context(_worker_faults())
        ended = training.train(
            config,
            folder,
            resume=asked.resume,
            world=world,
            command_line=("clip3d", *sys.argv[1:]),
            hearing=Hearing(voice.progress, voice.note, hear, begin),
        )
    if world.leads:
        _say_end(training, ended, config, asked, voice)
        if asked.as_json:
            give_json(run_document(training, ended, time.perf_counter() - began))
    return 0 if ended.finished else INTERRUPTED


def dry_run(training: Training[Config, End], config: Config, asked: Asked, voice: Voice) -> int:
    """Say what a training would do, and with which options."""
    dataset, scenes = training.open_scenes(config)
    size = (asked.machines.gpus or 1) * asked.machines.nodes
    steps = loop_options(config, len(scenes), World(size=size)).steps
    if asked.as_json:
        plan = {"scenes": len(scenes), "steps": steps, "processes": size}
        give_json(plan_document(training.command, config, asked.folder, plan))
        return 0
    for line in toml_text(config.tables()).splitlines():
        give(line)
    voice.note(f"{config.data.dataset}: {len(scenes):,} scenes in {dataset.root}")
    each = f"{counted(steps, 'step')} of {counted(config.batch.scenes, 'scene')}"
    voice.note(f"{each}, processes: {size}")
    voice.note(f"the run would be in {asked.folder or 'the folder that -o names'}")
    return 0


def _world_alone(device: str) -> tuple[World, str]:
    chosen, reason = choose_device(device)
    kind, _, index = chosen.partition(":")
    if kind == "mps" and device == "auto":
        return World(), "training does not run on MPS"
    if kind not in ("cpu", "cuda"):
        raise UsageError("E_DEVICE", "--device", f"training does not run on {chosen}", "Say cpu.")
    return World(local_rank=int(index or 0), device_type=kind), reason


@contextmanager
def _worker_faults() -> Iterator[None]:
    """What PyTorch says of a worker process that was killed, in words of clip3d."""
    try:
        yield
    except RuntimeError as error:
        # "Caught … in DataLoader worker process 0" is a bug of ours.
        if "DataLoader worker (pid" not in str(error):
            raise
        raise Clip3DError(
            "E_SYSTEM",
            "a process that makes batches",
            str(error).partition(") ")[2].rstrip(". ") or str(error),
            "Perhaps memory ran out: lower run.workers or batch.scenes. --resume goes on from the "
            "last checkpoint.",
        ) from error


def _say_end(
    training: Training[Config, End], ended: End, config: Config, asked: Asked, voice: Voice
) -> None:
    if ended.finished:
        training.show_end(ended, config, voice)
        return
    options = ["--resume", "-o", str(ended.folder), *asked.machines.options]
    again = shlex.join(["clip3d", training.command, *options])
    say(f"saved step {ended.steps:,}; go on with --resume: {again}")
