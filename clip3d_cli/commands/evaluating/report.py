"""``clip3d report``: trainings and evaluations as pictures and one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip3d_cli.commands.options import AsJson, Quiet

if TYPE_CHECKING:
    from clip3d_cli.pipelines.report.run import ReportFiles
    from clip3d_cli.pipelines.report.run_records import Records

SCHEMA = "clip3d.report/1"
_RESULT = "Result"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            readable=False,
            help="Folders of clip3d pretrain or finetune, and files of clip3d eval -o.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="The folder to write; made if missing.",
            rich_help_panel=_RESULT,
        ),
    ] = Path("report"),
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace a report that is there.", rich_help_panel=_RESULT
        ),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how trainings went, and compare them.

    Writes curves.png, a confusion matrix of every evaluation, and report.html, which holds all of
    it with tables of scores, of every class, and of how the runs differ. The page needs no other
    file and no network. A training may still be going on. Needs matplotlib: pip install
    "clip3d[report]".

    \b
    Examples:
      clip3d report runs/mine
      clip3d report runs/a runs/b eval.json -o compared
    """  # noqa: D301
    from clip3d_cli.commands.terminal import Voice, counted, give_json
    from clip3d_cli.pipelines.report.run import plan_report, write_report
    from clip3d_cli.pipelines.report.run_records import read_records

    voice = Voice(quiet)
    records = read_records(runs)
    files = plan_report(records, output, overwrite=overwrite)
    with voice.busy("drawing"):
        write_report(records, files)
    found = {"run": len(records.runs), "evaluation": len(records.evaluations)}
    told = " and ".join(counted(number, thing) for thing, number in found.items() if number)
    voice.note(f"{told} -> {files.page}")
    if as_json:
        give_json(_document(records, files))


def _document(records: Records, files: ReportFiles) -> object:
    return {
        "schema": SCHEMA,
        "page": str(files.page),
        "files": [str(path) for path in files.all],
        "runs": [
            {
                "name": run.name,
                "folder": str(run.path),
                "steps": run.steps,
                "finished": bool(run.sha256),
            }
            for run in records.runs
        ],
        "evaluations": [each.name for each in records.evaluations],
    }
