"""Reports of training runs and evaluations: figures, and one HTML page that contains them."""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from clip3d_cli.errors import SetupError
from clip3d_cli.formats.atomic import atomic_write, require_folder, require_new
from clip3d_cli.pipelines.report.records import Records

PAGE = "report.html"
CURVES = "curves.png"


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Paths of the files of a report.

    Attributes:
        page: the HTML page.
        curves: curves of all trainings; None if no training has done a step.
        confusions: confusion matrix of each evaluation; None if it has no evaluated point.
    """

    page: Path
    curves: Path | None
    confusions: tuple[Path | None, ...]

    @property
    def all(self) -> tuple[Path, ...]:
        """The files that are written, the page first."""
        return tuple(path for path in (self.page, self.curves, *self.confusions) if path)


def plan_report(records: Records, folder: Path, *, overwrite: bool = False) -> ReportFiles:
    """Return the files that a report will have, before anything is drawn.

    Raises:
        UsageError: E_EXISTS: one of them exists, and ``overwrite`` is not set.
        OutputError: E_NOT_WRITABLE: the folder is a file, or cannot be made.
    """
    existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    require_folder(existing / PAGE)
    stems: set[str] = set()
    confusions = tuple(
        folder / f"confusion-{_file_stem(evaluation.name, stems)}.png"
        if evaluation.document.confusion_matrix.counts.any()
        else None
        for evaluation in records.evaluations
    )
    curves = folder / CURVES if any(run.series for run in records.runs) else None
    files = ReportFiles(folder / PAGE, curves, confusions)
    for path in files.all:
        require_new(path, overwrite=overwrite)
    return files


def write_report(records: Records, files: ReportFiles) -> None:
    """Draw all figures, then write them and, last, the page; make the folder if it is missing.

    Raises:
        SetupError: E_SYSTEM: matplotlib or Jinja is not installed.
        OutputError: E_NO_SPACE or E_NOT_WRITABLE.
        OSError: the folder cannot be made.
    """
    for package in ("matplotlib", "jinja2"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            fault, remedy = "is not installed", 'Run pip install "clip3d[report]".'
            raise SetupError("E_SYSTEM", package, fault, remedy) from error
    from clip3d_cli.pipelines.report import figures, page

    pngs: dict[Path, bytes] = {}
    if files.curves:
        series_of = {run.name: run.series for run in records.runs if run.series}
        pngs[files.curves] = figures.curves_png(series_of)
    for evaluation, path in zip(records.evaluations, files.confusions, strict=True):
        if path:
            pngs[path] = figures.confusion_png(evaluation)
    html = page.page_html(
        records,
        curves=pngs[files.curves] if files.curves else None,
        confusions=[pngs[path] if path else None for path in files.confusions],
    )
    files.page.parent.mkdir(parents=True, exist_ok=True)
    for path, png in pngs.items():
        with atomic_write(path) as part:
            part.write_bytes(png)
    with atomic_write(files.page) as part:
        # The name of a file need not be text: what is not is written as an escape.
        part.write_text(html, encoding="utf-8", errors="backslashreplace")


def _file_stem(name: str, taken: set[str]) -> str:
    """Return a stem for a file that differs from all others on any system, and add it to them."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:80] or "evaluation"
    stem, number = plain, 1
    while stem.lower() in taken:
        number += 1
        stem = f"{plain}-{number}"
    taken.add(stem.lower())
    return stem
