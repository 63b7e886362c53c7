"""One process that trains: alone, or as one of several."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from clip3d_cli.commands.door import INTERRUPTED
from clip3d_cli.commands.pretrain_request import Asked, Machines
from clip3d_cli.commands.pretrain_show import (
    StepLines,
    plan_document,
    run_document,
    show_config,
    show_end,
)
from clip3d_cli.commands.terminal import Voice, give, give_json, say
from clip3d_cli.errors import Clip3DError, UsageError
from clip3d_cli.pipelines.devices import choose_device
from clip3d_cli.pipelines.pretrain import Hearing, Pretrained, open_scenes, pretrain
from clip3d_cli.pipelines.pretrain_config import PretrainConfig
from clip3d_cli.pipelines.pretrain_learner import loop_options
from clip3d_cli.training.distributed import World, joined_world
from clip3d_cli.training.toml_text import toml_text

# A fault that all processes have is said by the first one, long before the others wake up.
_LET_FIRST_SPEAK_S = 3.0


def train_alone(config: PretrainConfig, asked: Asked, voice: Voice) -> int:
    """The exit code of a training in this process.

    Raises:
        Clip3DError: see `clip3d_cli.pipelines.pretrain.pretrain`.
    """
    world, reason = _world_alone(config.run.device)
    voice.note(f"device: {world.device} ({reason})")
    return _train(config, asked, voice, world)


def train_as_one_of(
    config: PretrainConfig, asked: Asked, voice: Voice, place: tuple[int, int, int]
) -> int:
    """The exit code of one process among others; the first one alone speaks, unless it fails.

    Args:
        config: the same in each.
        asked: likewise.
        voice: of the first one.
        place: rank, number of processes, and rank on this machine.

    Raises:
        Clip3DError: see `clip3d_cli.pipelines.pretrain.pretrain`.
        SystemExit: stopped by a signal.
    """
    rank, size, local_rank = place
    world = World(rank, size, local_rank, device_type_of_many(config.run.device))
    if world.leads:
        voice.note(f"device: {world.device.type}, {size} processes")
    else:
        voice = Voice(quiet=True, bars=False)
    leaving = _Leaving()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leaving)
    try:
        code = _train(config, asked, voice, world, leaving)
    except Clip3DError:
        if not world.leads:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            time.sleep(_LET_FIRST_SPEAK_S)
        raise
    if code == INTERRUPTED:
        # Not through the door: it would say in every process what one has said.
        raise SystemExit(code)
    return code


def dry_run(config: PretrainConfig, asked: Asked, machines: Machines, voice: Voice) -> int:
    """Say what a training would do, and with which options."""
    dataset, scenes = open_scenes(config)
    size = (machines.gpus or 1) * machines.nodes
    steps = loop_options(config, len(scenes), World(size=size)).steps
    if asked.as_json:
        give_json(plan_document(config, asked.folder, len(scenes), steps, size))
        return 0
    for line in toml_text(config.tables()).splitlines():
        give(line)
    images = sum(len(scene.views) for scene in scenes)
    voice.note(
        f"{config.data.dataset}: {len(scenes):,} scenes with {images:,} images in {dataset.root}"
    )
    voice.note(f"{steps:,} steps of {config.batch.scenes} scenes in each of {size} processes")
    voice.note(f"the run would be in {asked.folder or 'the folder that -o names'}")
    return 0


def device_type_of_many(device: str) -> str:
    """``cpu`` or ``cuda``, for several processes that each have a GPU of their own.

    Raises:
        UsageError: one GPU is named, or none is here and the CPU was not asked for.
        SetupError: this machine has no such device.
    """
    if device == "cpu":
        return device
    if device not in ("auto", "cuda"):
        raise UsageError(
            "E_DEVICE", "--device", f"{device} is one device for all", "Say cuda, or cpu."
        )
    chosen, reason = choose_device(device)
    if not chosen.startswith("cuda"):
        raise UsageError(
            "E_DEVICE", "--gpus", reason, "With --device cpu the processes share the CPU."
        )
    return "cuda"


class _Leaving:
    """What a signal does in one of several processes while it does not train.

    Its launcher passes on what a batch system or a terminal sends to all: a signal comes twice,
    and the second time must not cut off the saving that the first one asked for.
    """

    def __init__(self) -> None:
        self.trains = False

    def __call__(self, _: int, __: FrameType | None) -> None:
        if not self.trains:
            raise SystemExit(INTERRUPTED)


def _world_alone(device: str) -> tuple[World, str]:
    chosen, reason = choose_device(device)
    kind, _, index = chosen.partition(":")
    if kind == "mps" and device == "auto":
        return World(), "training does not run on MPS"
    if kind not in ("cpu", "cuda"):
        raise UsageError("E_DEVICE", "--device", f"training does not run on {chosen}", "Say cpu.")
    return World(local_rank=int(index or 0), device_type=kind), reason


def _train(
    config: PretrainConfig,
    asked: Asked,
    voice: Voice,
    world: World,
    leaving: _Leaving | None = None,
) -> int:
    folder = asked.folder or Path()
    show_config(config, voice)
    began = time.perf_counter()
    with StepLines(voice) as lines, joined_world(world):

        def begin(total: int, done: int) -> None:
            if leaving is not None:
                leaving.trains = True
            lines.begin(total, done)

        hearing = Hearing(voice.progress, voice.note, lines.step, begin)
        ended = pretrain(
            config,
            folder,
            resume=asked.resume,
            world=world,
            command_line=("clip3d", *sys.argv[1:]),
            hearing=hearing,
        )
    if world.leads:
        _say_end(ended, config, asked, voice, time.perf_counter() - began)
    return 0 if ended.finished else INTERRUPTED


def _say_end(
    ended: Pretrained, config: PretrainConfig, asked: Asked, voice: Voice, seconds: float
) -> None:
    if ended.finished:
        show_end(ended, config, voice)
    else:
        again = shlex.join(["clip3d", "pretrain", "--resume", "-o", os.fspath(ended.folder)])
        say(f"saved step {ended.steps:,}; go on with --resume: {again}")
    if asked.as_json:
        give_json(run_document(ended, seconds))
