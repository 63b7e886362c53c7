"""The command line: its commands, and the one place where it starts and ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from clip3d_cli import __version__
from clip3d_cli.commands.door import run
from clip3d_cli.commands.evaluating.eval import evaluate
from clip3d_cli.commands.evaluating.report import report
from clip3d_cli.commands.finetuning.finetune import finetune
from clip3d_cli.commands.help import GroupedCommand
from clip3d_cli.commands.labelling.label import label
from clip3d_cli.commands.looking.doctor import doctor
from clip3d_cli.commands.looking.info import info
from clip3d_cli.commands.looking.vocabularies import vocabularies
from clip3d_cli.commands.pretraining.pretrain import pretrain
from clip3d_cli.errors import UsageError

app = typer.Typer(
    # Plain help starts three times as fast, and errors stay on one line that can be searched.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
_COMMANDS: Mapping[str, Callable[..., Any]] = {
    "label": label,
    "info": info,
    "vocabularies": vocabularies,
    "pretrain": pretrain,
    "finetune": finetune,
    "eval": evaluate,
    "report": report,
    "doctor": doctor,
}
for name, command in _COMMANDS.items():
    app.command(name, cls=GroupedCommand)(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"clip3d {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def clip3d(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Label any point cloud by words.

    Every point takes the class whose words lie nearest to it, on the CPU or the GPU, offline.
    Nothing is ever written over an input; a result appears whole or not at all.

    \b
    Examples:
      clip3d label scan.ply --classes "car,tire,plastic bag"
      clip3d info tile.laz
    """  # noqa: D301 - the parser reads \b as "keep these lines"
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(UsageError.exit_code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run clip3d and leave with its exit code.

    Codes: 0 done, 1 failed, 2 usage, 3 some inputs failed, 4 environment (weights, device,
    optional package), 130 interrupted.
    """
    # Before torch loads OpenMP: threads that sleep while they wait, instead of spinning, cost
    # nothing on an idle machine and save minutes where other programs want the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # The same for numpy's: otherwise they burn as long as a small scan takes, for nothing.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    # A few microseconds of spinning still pay where matrix products follow each other.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    sys.exit(run(app, sys.argv[1:] if arguments is None else arguments))
