"""A command line that trains: refused early, resolved, and sent where it is done."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip3d_cli import registry
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.commands.training.asked import Asked, Machines
from clip3d_cli.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from clip3d_cli.commands.training.kind import Config, End, Training

_RANK = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


def require_known(asked: Asked) -> None:
    """Refuse what cannot mean anything, before anything heavy is imported.

    Raises:
        UsageError: an unknown data set, a training without a folder, or machines that cannot
            meet.
    """
    dataset = asked.flag("data.dataset")
    if isinstance(dataset, str) and dataset not in registry.names("datasets"):
        raise registry.unknown_name("--dataset", dataset, registry.names("datasets"))
    if asked.folder is None and (asked.resume or not asked.dry_run):
        raise UsageError("E_USAGE", "-o", "no folder of the run is given", "Say -o runs/a.")
    _require_meeting_point(asked.machines)


def run_training(load: Callable[[], Training[Config, End]], asked: Asked, voice: Voice) -> int:
    """The exit code of a command that trains.

    Args:
        load: imports what is trained.
        asked: the command line.
        voice: hears how it goes.

    Raises:
        Clip3DError: of the command line, the scenes, this machine or the training.
    """
    require_known(asked)
    with voice.busy("starting"):
        # Torch takes seconds to import: what can be refused without it has been.
        from clip3d_cli.commands.training.launch import launch
        from clip3d_cli.commands.training.rank import train_as_one_of
        from clip3d_cli.commands.training.run import dry_run, train_alone

        training = load()
    config = resolved(training, asked)
    if asked.dry_run:
        return dry_run(training, config, asked, voice)
    if all(name in os.environ for name in _RANK):
        rank, size, local_rank = (int(os.environ[name]) for name in _RANK)
        place = (rank, size, local_rank)
        return train_as_one_of(training, config, asked, voice, place)
    if asked.machines.several:
        return launch(training, config, asked, voice)
    return train_alone(training, config, asked, voice)


def resolved(training: Training[Config, End], asked: Asked) -> Config:
    """The configuration that a command line means.

    Defaults, the data set's presets, --config, --set and the other options, each before the
    next; of a run that is resumed, its own configuration, which the others may not contradict.

    Raises:
        UsageError: E_CONFIG: an unknown key or a wrong value; E_USAGE: no data set is named.
        InputError: there is no run to resume, or it was configured otherwise.
        OutputError: E_EXISTS: another run is in the folder of a new one.
    """
    from clip3d_cli.pipelines.training.config_files import merged, read_config, with_settings
    from clip3d_cli.training.run_folder import CONFIG, RunFolder

    tables = read_config(asked.config) if asked.config else {}
    own = None if asked.folder is None else asked.folder / CONFIG
    if asked.resume and own is not None:
        base = _config_of_run(training, own)
    else:
        base = _preset(training, asked, tables)
    config = with_settings(merged(base, tables, str(asked.config)), asked.settings)
    config = merged(config, asked.flags, "the options")
    if own is None:
        return config
    if asked.resume:
        RunFolder(own.parent).require_same(config.tables(), free=training.free)
    elif own.exists():
        raise OutputError(
            "E_EXISTS", own.parent, "holds another run", "Add --resume, or name another -o."
        )
    return config


def _config_of_run(training: Training[Config, End], path: Path) -> Config:
    from clip3d_cli.pipelines.training.config_files import merged, read_config

    if not path.is_file():
        raise InputError(
            "E_NOT_FOUND", path.parent, "holds no run to resume", "Start it without --resume."
        )
    return merged(training.usual, read_config(path), str(path))


def _preset(training: Training[Config, End], asked: Asked, tables: Mapping[str, Any]) -> Config:
    """What is usual for the data set that is named, wherever it is named."""
    from clip3d_cli.pipelines.training.config_files import merged, with_settings

    said = with_settings(merged(training.usual, tables, str(asked.config)), asked.settings)
    for key in ("dataset", "root"):
        set_here = any(each.partition("=")[0].strip() == f"data.{key}" for each in asked.settings)
        given = set_here or asked.flag(f"data.{key}") is not None
        if not given and key not in tables.get("data", {}):
            raise UsageError(
                "E_USAGE",
                f"--{key}",
                "is not given",
                f"Say which scenes: --dataset NAME --root DIR, where NAME is one of "
                f"{', '.join(registry.names('datasets'))}.",
            )
    name = str(asked.flag("data.dataset") or said.data.dataset)
    if name not in registry.names("datasets"):
        raise registry.unknown_name("data.dataset", name, registry.names("datasets"))
    return training.preset(name)


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
