"""A ``clip3d pretrain`` command line: refused early, resolved, and sent where it is done."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip3d_cli import registry
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from clip3d_cli.pipelines.pretrain_config import PretrainConfig

METHODS = ("clip2scene",)
_RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


@dataclass(frozen=True, slots=True)
class Machines:
    """How many processes train.

    Attributes:
        gpus: processes on each machine, or None if not said.
        nodes: machines.
        meet: host:port where they find each other.
    """

    gpus: int | None = None
    nodes: int = 1
    meet: str | None = None

    @property
    def several(self) -> bool:
        """Whether there is more than one process."""
        return (self.gpus or 1) > 1 or self.nodes > 1

    @property
    def options(self) -> list[str]:
        """What a command line says to ask for the same."""
        given = {"--gpus": self.gpus, "--nodes": self.nodes, "--meet": self.meet}
        return [str(word) for each in given.items() if each[1] not in (None, 1) for word in each]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says; None for what it does not say.

    Attributes:
        folder: -o, of the run, or of the pictures of --check.
        dataset: its name.
        root: its folder.
        split: which of its scenes.
        limit: how many of these.
        device: where to train.
        config: a TOML file.
        settings: ``table.key=value``, in order.
        resume: go on with the run that is there.
        check: draw pictures instead of training.
        dry_run: only say what would be done.
        as_json: give a document on stdout.
        machines: how many processes train.
    """

    folder: Path | None = None
    dataset: str | None = None
    root: Path | None = None
    split: str | None = None
    limit: int | None = None
    device: str | None = None
    config: Path | None = None
    settings: tuple[str, ...] = ()
    resume: bool = False
    check: bool = False
    dry_run: bool = False
    as_json: bool = False
    machines: Machines = field(default_factory=Machines)


def require_known(asked: Asked, method: str) -> None:
    """Refuse what cannot mean anything, before anything heavy is imported.

    Raises:
        UsageError: an unknown method or data set, options that exclude each other, or a training
            without a folder.
    """
    if method not in METHODS:
        raise registry.unknown_name("--method", method, METHODS)
    if asked.dataset is not None and asked.dataset not in registry.names("datasets"):
        raise registry.unknown_name("--dataset", asked.dataset, registry.names("datasets"))
    if asked.check and (asked.resume or asked.dry_run):
        other = "--resume" if asked.resume else "--dry-run"
        raise UsageError(
            "E_USAGE", "--check", f"and {other} cannot both be given", "It trains nothing."
        )
    trains = asked.resume or not (asked.check or asked.dry_run)
    if trains and asked.folder is None:
        raise UsageError("E_USAGE", "-o", "no folder of the run is given", "Say -o runs/a.")


def run_pretrain(asked: Asked, voice: Voice) -> int:
    """The exit code of a ``clip3d pretrain``.

    Raises:
        Clip3DError: of the command line, the scenes, this machine or the training.
    """
    _require_meeting_point(asked.machines)
    with voice.busy("starting"):
        # Torch takes seconds to import: what can be refused without it has been.
        from clip3d_cli.commands import (
            pretrain_check,
            pretrain_launch,
            pretrain_rank,
            pretrain_run,
        )

    config = resolved(asked)
    if asked.check:
        folder = asked.folder or Path("clip3d-check")
        return pretrain_check.check(config, folder, voice, as_json=asked.as_json)
    if asked.dry_run:
        return pretrain_run.dry_run(config, asked, voice)
    if all(name in os.environ for name in _RANK):
        rank, size, local_rank = (int(os.environ[name]) for name in _RANK)
        return pretrain_rank.train_as_one_of(config, asked, voice, (rank, size, local_rank))
    if asked.machines.several:
        return pretrain_launch.launch(config, asked, voice)
    return pretrain_run.train_alone(config, asked, voice)


def resolved(asked: Asked) -> PretrainConfig:
    """The configuration that a command line means.

    Defaults, the data set's presets, --config, --set and the other options, each before the
    next; of a run that is resumed, its own configuration, which the others may not contradict.

    Raises:
        UsageError: E_CONFIG: an unknown key or a wrong value; E_USAGE: no data set is named.
        InputError: there is no run to resume, or it was configured otherwise.
        OutputError: E_EXISTS: another run is in the folder of a new one.
    """
    from clip3d_cli.pipelines.pretrain_config import FREE, merged, read_config, with_settings
    from clip3d_cli.training.run_folder import CONFIG, RunFolder

    tables = read_config(asked.config) if asked.config else {}
    own = None if asked.folder is None else asked.folder / CONFIG
    base = _config_of_run(own) if asked.resume and own is not None else _preset(asked, tables)
    config = with_settings(merged(base, tables, str(asked.config)), asked.settings)
    config = merged(config, _flags(asked), "the options")
    if asked.check or own is None:
        return config
    if asked.resume:
        RunFolder(own.parent).require_same(config.tables(), free=FREE)
    elif own.exists():
        raise OutputError(
            "E_EXISTS", own.parent, "holds another run", "Add --resume, or name another -o."
        )
    return config


def _config_of_run(path: Path) -> PretrainConfig:
    from clip3d_cli.pipelines.pretrain_config import PretrainConfig, merged, read_config

    if not path.is_file():
        raise InputError(
            "E_NOT_FOUND", path.parent, "holds no run to resume", "Start it without --resume."
        )
    return merged(PretrainConfig(), read_config(path), str(path))


def _preset(asked: Asked, tables: Mapping[str, Any]) -> PretrainConfig:
    """What is usual for the data set that is named, wherever it is named."""
    from clip3d_cli.pipelines.pretrain_config import (
        PretrainConfig,
        merged,
        preset,
        with_settings,
    )

    said = with_settings(merged(PretrainConfig(), tables, str(asked.config)), asked.settings)
    for key, given in (("dataset", asked.dataset), ("root", asked.root)):
        set_here = any(each.partition("=")[0].strip() == f"data.{key}" for each in asked.settings)
        if given is None and not set_here and key not in tables.get("data", {}):
            raise UsageError(
                "E_USAGE",
                f"--{key}",
                "is not given",
                f"Say which scenes: --dataset NAME --root DIR, where NAME is one of "
                f"{', '.join(registry.names('datasets'))}.",
            )
    name = asked.dataset or said.data.dataset
    if name not in registry.names("datasets"):
        raise registry.unknown_name("data.dataset", name, registry.names("datasets"))
    return preset(name)


def _flags(asked: Asked) -> dict[str, dict[str, Any]]:
    """The options of the command line as the configuration's tables."""
    # A run may be resumed from another folder than it was started in.
    root = None if asked.root is None else str(asked.root.resolve())
    shown = asked.limit or (3 if asked.check else None)
    values = {"dataset": asked.dataset, "root": root, "split": asked.split, "limit": shown}
    return {
        "data": {key: value for key, value in values.items() if value is not None},
        "run": {} if asked.device is None else {"device": asked.device},
    }


def _require_meeting_point(machines: Machines) -> None:
    if machines.meet is None:
        if machines.nodes > 1:
            raise UsageError(
                "E_USAGE",
                "--nodes",
                f"{machines.nodes} machines have to meet somewhere",
                "Name one of them: --meet host:29500.",
            )
        return
    if not re.fullmatch(r".+:\d{1,5}", machines.meet):
        raise UsageError("E_USAGE", "--meet", f"{machines.meet!r} is not host:port")
    if machines.nodes == 1:
        raise UsageError("E_USAGE", "--meet", "is for several machines", "Say how many: --nodes 2.")
