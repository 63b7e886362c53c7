"""A ``clip3d pretrain`` command line: what it has that other trainings have not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clip3d_cli import registry
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.commands.training.asked import Asked
from clip3d_cli.commands.training.request import require_known, resolved, run_training
from clip3d_cli.errors import UsageError

if TYPE_CHECKING:
    from clip3d_cli.commands.training.kind import Training
    from clip3d_cli.pipelines.pretrain.config import PretrainConfig
    from clip3d_cli.pipelines.pretrain.run import Pretrained

METHODS = ("clip2scene",)


def run_pretrain(method: str, asked: Asked, voice: Voice, *, check: bool) -> int:
    """The exit code of a ``clip3d pretrain``.

    Args:
        method: how it is trained.
        asked: the command line.
        voice: hears how it goes.
        check: draw pictures instead of training.

    Raises:
        Clip3DError: of the command line, the scenes, this machine or the training.
    """
    if method not in METHODS:
        raise registry.unknown_name("--method", method, METHODS)
    return run_check(asked, voice) if check else run_training(_pretraining, asked, voice)


def run_check(asked: Asked, voice: Voice) -> int:
    """The exit code of a ``clip3d pretrain --check``.

    Raises:
        Clip3DError: of the command line, or the scenes.
    """
    if asked.resume or asked.dry_run:
        other = "--resume" if asked.resume else "--dry-run"
        raise UsageError(
            "E_USAGE", "--check", f"and {other} cannot both be given", "It trains nothing."
        )
    # Its folder is one of pictures, not of a run.
    of_pictures = replace(asked, folder=None, dry_run=True)
    require_known(of_pictures)
    with voice.busy("starting"):
        from clip3d_cli.commands.pretraining.check import check

        config = resolved(_pretraining(), of_pictures)
    folder = asked.folder or Path("clip3d-check")
    return check(config, folder, voice, as_json=asked.as_json)


def _pretraining() -> Training[PretrainConfig, Pretrained]:
    from clip3d_cli.commands.pretraining.kind import PRETRAINING

    return PRETRAINING
