"""The commands of clip3d, and the entry point of the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from clip3d_cli import __version__
from clip3d_cli.cli.doctor import doctor
from clip3d_cli.cli.errors import run
from clip3d_cli.cli.eval import evaluate
from clip3d_cli.cli.finetune import finetune
from clip3d_cli.cli.info import info
from clip3d_cli.cli.label import label
from clip3d_cli.cli.options import GroupedCommand
from clip3d_cli.cli.pretrain import pretrain
from clip3d_cli.cli.report import report
from clip3d_cli.cli.vocabularies import vocabularies
from clip3d_cli.cli.words import words
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
    "words": words,
    "pretrain": pretrain,
    "finetune": finetune,
    "eval": evaluate,
    "report": report,
    "doctor": doctor,
}
for name, command in _COMMANDS.items():
    app.command(name, cls=GroupedCommand)(command)


def _print_version(requested: bool) -> None:
    if requested:
        print(f"clip3d {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def clip3d(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Label point clouds by words.

    Every point gets the class with the nearest word, or none if no class fits, on the CPU or the
    GPU, offline. Input files are never modified, and a result file is either complete or absent.

    \b
    Examples:
      clip3d label scan.ply --classes "car,tire,plastic bag"
      clip3d info tile.laz
    """  # noqa: D301 - the parser reads \b as "keep these lines"
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(UsageError.exit_code)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run clip3d and exit with its code.

    Exit codes: 0 done, 1 failed, 2 usage, 3 some inputs failed, 4 environment (weights, device,
    optional package), 130 interrupted.
    """
    # These must be set before the libraries load OpenMP. Threads that sleep instead of spinning
    # while they wait cost nothing on an idle machine, and save minutes on a busy one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    # A few microseconds of spinning still pay off between consecutive matrix products.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    sys.exit(run(app, sys.argv[1:] if arguments is None else arguments))
