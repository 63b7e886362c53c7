"""What ``clip3d pretrain`` and ``clip3d finetune`` share: options, configuration, one process."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from clip3d_cli.cli.distributed import Processes, rank_from_environment
from clip3d_cli.cli.errors import INTERRUPTED
from clip3d_cli.cli.options import SCENES
from clip3d_cli.cli.terminal import (
    Reporter,
    count_of,
    print_json,
    print_message,
    print_result,
)
from clip3d_cli.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from clip3d_cli.core.scenes import PosedScene
    from clip3d_cli.datasets.dataset import Dataset
    from clip3d_cli.pipelines.training.config import TrainingConfig
    from clip3d_cli.pipelines.training.config_sources import ConfigSources
    from clip3d_cli.pipelines.training.run import Callbacks, RunResult
    from clip3d_cli.training.distributed import World

Config = TypeVar("Config", bound="TrainingConfig")

TRAINING = "Training"
MACHINES = "Devices and processes"
CHECKS = "Checks before training"

Split = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Split to train on. Default: train if there is one.",
        rich_help_panel=SCENES,
    ),
]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="RUN",
        help="Run folder: configuration, metrics, checkpoints, and at the end points.safetensors.",
        rich_help_panel=TRAINING,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Configuration in TOML; it overrides the preset of the data set. --dry-run prints "
        "all keys.",
        rich_help_panel=TRAINING,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="TABLE.KEY=VALUE",
        help="Set one key, such as optimizer.epochs=5 or run.seed=1; may be repeated. It overrides "
        "--config.",
        rich_help_panel=TRAINING,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue the run in -o from its last checkpoint, with its own configuration, as if "
        "it had never stopped.",
        rich_help_panel=TRAINING,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N", help="Device to train on.", rich_help_panel=MACHINES
    ),
]
Gpus = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Train in N processes on this machine, one per GPU; with --device cpu on the CPU. The "
        "same as torchrun --nproc-per-node N -m clip3d_cli.",
        rich_help_panel=MACHINES,
    ),
]
Nodes = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Train on N machines that share the run folder; run the same command on each.",
        rich_help_panel=MACHINES,
    ),
]
Meet = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Rendezvous address: one of the machines, and a free port.",
        rich_help_panel=MACHINES,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Print the whole configuration and what would be done; load no model and write "
        "nothing.",
        rich_help_panel=CHECKS,
    ),
]


@dataclass(frozen=True, slots=True)
class TrainingRequest:
    """The command line of a training command.

    Attributes:
        command: ``pretrain`` or ``finetune``.
        folder: run folder; None if not given.
        flags: configuration values that have an option of their own, by dotted key; None if not
            given.
        config: TOML file, or None.
        settings: ``table.key=value`` texts, in order.
        resume: continue the run in the folder.
        processes: how many processes train.
        as_json: print a JSON document on stdout.
    """

    command: str
    folder: Path | None
    flags: Mapping[str, object]
    config: Path | None = None
    settings: Sequence[str] = ()
    resume: bool = False
    processes: Processes = field(default_factory=Processes)
    as_json: bool = False

    def check(self, *, needs_folder: bool) -> None:
        """Raise errors that can be found before PyTorch is imported.

        Raises:
            UsageError: the data set is unknown, no run folder is given, or the machines have no
                rendezvous address.
        """
        from clip3d_cli import registry

        dataset = self.flags.get("data.dataset")
        if isinstance(dataset, str) and dataset not in registry.names("datasets"):
            raise registry.unknown_name_error("--dataset", dataset, registry.names("datasets"))
        if self.folder is None and (self.resume or needs_folder):
            raise UsageError("E_USAGE", "-o", "no run folder is given", "Add -o runs/a.")
        self.processes.check()


def resolve_config(
    request: TrainingRequest,
    defaults: Config,
    preset: Callable[[str], Config],
    resumable_keys: Sequence[str],
) -> Config:
    """Return the configuration of a command line.

    Later sources override earlier ones: defaults, preset of the data set, --config, --set, other
    options. A resumed run starts from its own configuration, which the others may not contradict.

    Args:
        request: the command line.
        defaults: configuration without any source.
        preset: returns the preset of a data set.
        resumable_keys: dotted keys that may differ when a run is resumed.

    Raises:
        UsageError: E_CONFIG: a key is unknown or a value invalid; E_USAGE: no data set is given.
        InputError: there is no run to resume, or it has another configuration.
        OutputError: E_EXISTS: the folder of a new run holds another run.
    """
    from clip3d_cli.pipelines.training.config_sources import (
        ConfigSources,
        read_config,
        with_tables,
    )
    from clip3d_cli.training.run_folder import CONFIG, RunFolder, with_current_keys

    sources = ConfigSources.read(request.config, request.settings, _tables(request.flags))
    own = None if request.folder is None else request.folder / CONFIG
    if request.resume and own is not None:
        if not own.is_file():
            raise InputError(
                "E_NOT_FOUND", own.parent, "holds no run to resume", "Start it without --resume."
            )
        base = with_tables(defaults, with_current_keys(read_config(own)), str(own))
    else:
        base = preset(_dataset_name(sources, defaults))
    config = sources.apply(base)
    if own is None:
        return config
    if request.resume:
        RunFolder(own.parent).require_same_config(config.tables(), resumable_keys=resumable_keys)
    elif own.exists():
        raise OutputError(
            "E_EXISTS", own.parent, "holds another run", "Add --resume, or name another -o."
        )
    return config


def print_plan(
    request: TrainingRequest,
    config: TrainingConfig,
    dataset: Dataset,
    scenes: Sequence[PosedScene],
    reporter: Reporter,
) -> int:
    """Print what a training would do, and return exit code 0."""
    from clip3d_cli.cli.training_output import plan_document
    from clip3d_cli.pipelines.training.config import loop_options
    from clip3d_cli.pipelines.training.config_reference import commented_toml
    from clip3d_cli.training.distributed import World

    size = request.processes.total
    steps = loop_options(config, len(scenes), World(size=size)).steps
    if request.as_json:
        plan = {"scenes": len(scenes), "steps": steps, "processes": size}
        print_json(plan_document(request.command, config, request.folder, plan))
        return 0
    for line in commented_toml(config).splitlines():
        print_result(line)
    reporter.info(f"{config.data.dataset}: {len(scenes):,} scenes in {dataset.root}")
    per_step = count_of(config.batch.scenes, "scene")
    reporter.info(f"{count_of(steps, 'step')} of {per_step}, processes: {size}")
    reporter.info(f"run folder: {request.folder or 'the folder given with -o'}")
    return 0


@dataclass(frozen=True, slots=True)
class TrainingProcess:
    """This process, ready to train.

    Attributes:
        world: this process among all.
        callbacks: report the progress of the training.
        reporter: reports on rank 0 only.
        command_line: what the user typed, for the records.
        began_s: when it began, by `time.perf_counter`.
    """

    world: World
    callbacks: Callbacks
    reporter: Reporter
    command_line: tuple[str, ...]
    began_s: float


@contextmanager
def training_process(
    request: TrainingRequest, config: TrainingConfig, defaults: TrainingConfig, reporter: Reporter
) -> Iterator[TrainingProcess]:
    """Join the other processes, if there are any, and report steps until the block ends.

    Args:
        request: the command line.
        config: the configuration.
        defaults: configuration to which differences are reported as details.
        reporter: reports on rank 0; other ranks stay silent.

    Raises:
        Clip3DError: of the block; the device does not exist; a worker process was killed.
        SystemExit: a signal stopped one of several processes.
    """
    from clip3d_cli.cli.distributed import leave_together, worker_errors
    from clip3d_cli.cli.training_output import StepReporter, report_config
    from clip3d_cli.pipelines.training.run import Callbacks
    from clip3d_cli.training.distributed import World, process_group
    from clip3d_cli.training.loop import StepReport
    from clip3d_cli.training.tensorboard import TensorBoardWriter, open_tensorboard

    ranks = rank_from_environment()
    with ExitStack() as stack:
        if ranks is None:
            world, reason = _single_world(config.run.device)
            reporter.info(f"device: {world.device} ({reason})")
            signals = None
        else:
            from clip3d_cli.cli.distributed import device_type_for_all

            world = World(*ranks, device_type_for_all(config.run.device))
            if world.is_rank_0:
                reporter.info(f"device: {world.device.type}, {world.size} processes")
            else:
                reporter = Reporter(quiet=True, bars=False)
            signals = stack.enter_context(leave_together(world))
        report_config(config, defaults, reporter)
        steps = stack.enter_context(StepReporter(reporter))
        stack.enter_context(process_group(world))
        stack.enter_context(worker_errors())
        curves: list[TensorBoardWriter] = []

        def on_start(total: int, done: int) -> None:
            if signals is not None:
                signals.training_started()
            if config.run.tensorboard and world.is_rank_0:
                folder = (request.folder or Path()) / "tensorboard"
                curves.append(stack.enter_context(open_tensorboard(folder, done)))
            steps.start(total, done)

        def on_step(step: StepReport) -> None:
            steps.step(step)
            for each in curves:
                each.add(step.number, {"loss": step.loss, **step.parts})

        yield TrainingProcess(
            world,
            Callbacks(
                progress=reporter.progress,
                note=reporter.info,
                on_start=on_start,
                on_step=on_step,
            ),
            reporter,
            ("clip3d", *sys.argv[1:]),
            time.perf_counter(),
        )


def finish(
    request: TrainingRequest,
    process: TrainingProcess,
    result: RunResult,
    entries: Mapping[str, Any],
) -> int:
    """Report the end of a training on rank 0, and return the exit code.

    Args:
        request: the command line.
        process: this process.
        result: how the training ended.
        entries: entries of the JSON document that only this command has.

    Returns:
        0 if all steps are done, 130 if a signal stopped the training.

    Raises:
        SystemExit: a signal stopped one of several processes.
    """
    from clip3d_cli.cli.training_output import run_document

    if process.world.is_rank_0:
        if not result.finished:
            options = ["--resume", "-o", str(result.folder), *request.processes.options]
            command = shlex.join(["clip3d", request.command, *options])
            print_message(f"saved step {result.steps:,}; continue with: {command}")
        if request.as_json:
            seconds = time.perf_counter() - process.began_s
            print_json(run_document(request.command, result, seconds, entries))
    if result.finished:
        return 0
    if process.world.size > 1:
        # Without the usual report of an interrupt, which every process would print.
        raise SystemExit(INTERRUPTED)
    return INTERRUPTED


def absolute(path: Path | None) -> str | None:
    """Return a path that is valid from any working directory: runs may be resumed from another."""
    return None if path is None else str(path.resolve())


def _tables(flags: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Return the given flags as tables: ``{"data.root": x}`` becomes ``{"data": {"root": x}}``."""
    tables: dict[str, dict[str, object]] = {}
    for key, value in flags.items():
        if value is not None:
            table, _, name = key.partition(".")
            tables.setdefault(table, {})[name] = value
    return tables


def _dataset_name(sources: ConfigSources, defaults: TrainingConfig) -> str:
    """Return the data set that the options, --set or --config name.

    Raises:
        UsageError: E_USAGE: data set or root are not given; E_UNKNOWN_NAME: it does not exist.
    """
    from clip3d_cli import registry

    for key in ("dataset", "root"):
        if not sources.sets(f"data.{key}"):
            raise UsageError(
                "E_USAGE",
                f"--{key}",
                "is not given",
                f"Use --dataset NAME --root DIR, where NAME is one of "
                f"{', '.join(registry.names('datasets'))}.",
            )
    name = sources.apply(defaults).data.dataset
    if name not in registry.names("datasets"):
        raise registry.unknown_name_error("data.dataset", name, registry.names("datasets"))
    return name


def _single_world(device: str) -> tuple[World, str]:
    """Return the world of a single process on a device, and why it uses that device."""
    from clip3d_cli.labelling.device import choose_device
    from clip3d_cli.training.distributed import World

    chosen, reason = choose_device(device)
    device_type, _, index = chosen.partition(":")
    if device_type == "mps" and device == "auto":
        return World(), "training does not support MPS"
    if device_type not in ("cpu", "cuda"):
        raise UsageError(
            "E_DEVICE", "--device", f"training does not support {chosen}", "Use --device cpu."
        )
    return World(local_rank=int(index or 0), device_type=device_type), reason
