"""One of several processes that train together: the first one speaks, and all leave together."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from clip3d_cli.commands.door import INTERRUPTED
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.commands.training.asked import Asked
from clip3d_cli.commands.training.kind import Config, End, Training
from clip3d_cli.commands.training.run import train_in
from clip3d_cli.errors import Clip3DError, UsageError
from clip3d_cli.labelling.devices import choose_device
from clip3d_cli.training.distributed import World

# A fault that all processes have is said by the first one, and its launcher ends the others long
# before they wake up: on a busy machine it takes three seconds to see that the first one is gone.
_LET_FIRST_SPEAK_S = 10.0
# The exit code of a process that ended because another one had, as if by SIGTERM.
LEFT_ALONE = 143
# What gloo and NCCL say then.
_OTHERS_GONE = ("Connection closed by peer", "Connection reset by peer", "remote process exited")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def train_as_one_of(
    training: Training[Config, End],
    config: Config,
    asked: Asked,
    voice: Voice,
    place: tuple[int, int, int],
) -> int:
    """The exit code of one process among others; the first one alone speaks, unless it fails.

    Args:
        training: what is trained.
        config: the same in each.
        asked: likewise.
        voice: of the first one.
        place: rank, number of processes, and rank on this machine.

    Raises:
        Clip3DError: of the training.
        SystemExit: stopped by a signal, or left alone by another process.
    """
    rank, size, local_rank = place
    world = World(rank, size, local_rank, device_type_of_many(config.run.device))
    if world.leads:
        voice.note(f"device: {world.device.type}, {size} processes")
    else:
        voice = Voice(quiet=True, bars=False)
    leaving = _Leaving()
    for number in _SIGNALS:
        signal.signal(number, leaving)
    with _faults_said_once(world):
        code = train_in(training, world, config, asked, voice, leaving.begin)
    if code == INTERRUPTED:
        # Not through the door: it would say in every process what one has said.
        raise SystemExit(code)
    return code


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
        self._trains = False

    def begin(self) -> None:
        """From now on, what hears signals asks the training to stop."""
        self._trains = True

    def __call__(self, _: int, __: FrameType | None) -> None:
        if not self._trains:
            raise SystemExit(INTERRUPTED)


@contextmanager
def _faults_said_once(world: World) -> Iterator[None]:
    left_alone = False
    try:
        yield
    except Clip3DError:
        if not world.leads:
            # The launcher ends this process as soon as the first one has failed.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            time.sleep(_LET_FIRST_SPEAK_S)
        raise
    except RuntimeError as error:
        left_alone = any(text in str(error) for text in _OTHERS_GONE)
        if not left_alone:
            raise
    if left_alone:
        # The process that went away has said why, or the launcher will. Out here nothing holds
        # the error, whose traceback would keep the workers alive when the interpreter ends.
        raise SystemExit(LEFT_ALONE)
