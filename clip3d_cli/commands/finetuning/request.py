"""A ``clip3d finetune`` command line: what it has that other trainings have not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clip3d_cli.commands.terminal import Voice
from clip3d_cli.commands.training.asked import Asked, place_of
from clip3d_cli.commands.training.request import run_training
from clip3d_cli.errors import UsageError
from clip3d_cli.registry import is_weights_name, weights_path

if TYPE_CHECKING:
    from clip3d_cli.commands.training.kind import Training
    from clip3d_cli.pipelines.finetune.config import FinetuneConfig
    from clip3d_cli.pipelines.finetune.run import Finetuned

_SCRATCH = "scratch"


def run_finetune(asked: Asked, voice: Voice) -> int:
    """The exit code of a ``clip3d finetune``.

    Raises:
        Clip3DError: of the command line, the scenes, this machine or the training.
    """
    fraction = asked.flag("data.fraction")
    if isinstance(fraction, float) and not 0 < fraction <= 1:
        raise UsageError(
            "E_USAGE",
            "--fraction",
            f"{fraction:g} is not above 0 and up to 1",
            "0.01 takes one scene in a hundred, 1 takes all.",
        )
    return run_training(_finetuning, asked, voice)


def place_of_start(start: str | None) -> str | None:
    """What --from names, so that it leads to the same from any folder.

    Raises:
        SetupError: there is no such file, or it is a pickle.
    """
    if start in (None, _SCRATCH):
        return start
    path = weights_path(start)
    return start if is_weights_name(start) else place_of(path)


def _finetuning() -> Training[FinetuneConfig, Finetuned]:
    from clip3d_cli.commands.finetuning.kind import FINETUNING

    return FINETUNING
