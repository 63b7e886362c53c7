"""``clip3d report``: figures and one HTML page of training runs and evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clip3d_cli.cli.options import RESULT, AsJson, Quiet

if TYPE_CHECKING:
    from clip3d_cli.errors import Clip3DError
    from clip3d_cli.pipelines.report.records import Records
    from clip3d_cli.pipelines.report.run import ReportFiles

SCHEMA = "clip3d.report/1"


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            readable=False,
            help="Run folders of clip3d pretrain or finetune, and files of clip3d eval -o.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder for the report; it is created if missing.",
            rich_help_panel=RESULT,
        ),
    ] = Path("report"),
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an existing report.", rich_help_panel=RESULT),
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Compare training runs and evaluations.

    Writes curves.png, a confusion matrix for every evaluation, and report.html, which contains
    all of them with tables of scores by class and of the differences between the runs. The page
    needs no other file and no network. Runs may still be in progress; of several inputs, those
    that cannot be read are named and left out. Needs matplotlib and Jinja: pip install
    "clip3d[report]".

    \b
    Examples:
      clip3d report runs/mine
      clip3d report runs/a runs/b eval.json -o compared
    """  # noqa: D301
    from clip3d_cli.cli import errors
    from clip3d_cli.cli.terminal import Reporter, count_of, print_json
    from clip3d_cli.pipelines.report.records import read_records
    from clip3d_cli.pipelines.report.run import plan_report, write_report

    reporter = Reporter(quiet)
    records = read_records(runs)
    failures = [
        errors.with_source(errors.to_clip3d_error(failure.error), failure.path)
        for failure in records.failures
    ]
    for error in failures:
        errors.print_error(error)
    if not records.runs and not records.evaluations:
        return errors.exit_code(failures, done=0)
    files = plan_report(records, output, overwrite=overwrite)
    with reporter.busy("drawing"):
        write_report(records, files)
    counts = {"run": len(records.runs), "evaluation": len(records.evaluations)}
    text = " and ".join(count_of(number, thing) for thing, number in counts.items() if number)
    reporter.info(f"{text} -> {files.page}")
    if as_json:
        print_json(_document(records, files, failures))
    return errors.exit_code(failures, done=1)


def _document(
    records: Records, files: ReportFiles, failures: Sequence[Clip3DError]
) -> dict[str, Any]:
    from clip3d_cli.cli.errors import error_entry

    document: dict[str, Any] = {
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
        "evaluations": [evaluation.name for evaluation in records.evaluations],
    }
    if failures:
        document["failed"] = [error_entry(error) for error in failures]
    return document
