"""``clip3d info``: what a scan or a file of weights holds, and what may surprise about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from clip3d_cli.errors import Clip3DError
    from clip3d_cli.formats.format import CloudFacts, ReadOptions

SCHEMA = "clip3d.info/1"
# Reading this many points takes about a second.
_CHEAP_POINTS = 2_000_000
_SHOWN_FIELDS = 40


def info(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            readable=False,
            help="Scans: PLY, LAS, LAZ, PCD, BIN, NPY, NPZ; or weights: SAFETENSORS.",
        ),
    ],
    columns: Annotated[
        str | None,
        typer.Option(metavar="x,y,z,...", help="The columns of a .bin or .npy that does not say."),
    ] = None,
    allow_truncated: Annotated[
        bool, typer.Option("--allow-truncated", help="Accept a file that ends early.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Show what scans hold, or what point weights can do.

    Of scans that is format, points, fields, bounds, density, coordinate system and warnings. The
    density counts points per square metre of occupied ground, over cells of one metre, where the
    scan is small enough to be read at once. Of weights it is the network, its inputs and voxels,
    the space of its words, the classes of its closed head, and where it comes from. Nothing is
    written.

    \b
    Examples:
      clip3d info scan.ply
      clip3d info runs/ft/points.safetensors
      clip3d info --json tiles/*.laz
    """  # noqa: D301
    from clip3d_cli.commands.door import error_entry, exit_code, refusal_of, report
    from clip3d_cli.commands.reading import reading_options
    from clip3d_cli.commands.terminal import give, give_json

    reading = reading_options(columns, allow_truncated=allow_truncated, max_memory=None)
    entries: list[dict[str, object]] = []
    refusals: list[Clip3DError] = []
    for path in inputs:
        try:
            entry, lines = _looked(path, reading)
        except Exception as error:  # noqa: BLE001 - one bad file must not stop the others
            refusal = refusal_of(error)
            report(refusal, error)
            refusals.append(refusal)
            entries.append({"input": str(path), "error": error_entry(refusal)})
            continue
        entries.append(entry)
        if not as_json:
            for line in lines:
                give(line)
    if as_json:
        give_json({"schema": SCHEMA, "results": entries})
    return exit_code(refusals, len(inputs) - len(refusals))


def _looked(path: Path, reading: ReadOptions) -> tuple[dict[str, object], list[str]]:
    """What a file holds, for programs and line by line for people."""
    from clip3d_cli.commands.looking.weights import SUFFIX, WeightsFacts

    if path.suffix.lower() == SUFFIX:
        weights = WeightsFacts.of(path)
        return weights.entry(), [*weights.lines()]
    facts, density = _look(path, reading)
    return _entry(path, facts, density), [*_lines(path, facts, density)]


def _look(path: Path, reading: ReadOptions) -> tuple[CloudFacts, float | None]:
    """The facts of a file, and its points per square metre where that is quickly found."""
    from clip3d_cli.formats.cloud_file import inspect_cloud, read_cloud
    from clip3d_cli.labelling.class_counts import points_per_m2

    facts = inspect_cloud(path, reading)
    if facts.points > _CHEAP_POINTS or facts.memory > reading.max_memory:
        return facts, None
    return facts, points_per_m2(read_cloud(path, reading)[0])


def _entry(path: Path, facts: CloudFacts, density: float | None) -> dict[str, object]:
    bounds = facts.bounds
    return {
        "input": str(path),
        "format": facts.format,
        "bytes": path.stat().st_size,
        "points": facts.points,
        "fields": list(facts.fields),
        "label_fields": list(facts.label_fields),
        "low": None if bounds is None else bounds[0].tolist(),
        "high": None if bounds is None else bounds[1].tolist(),
        "points_per_m2": None if density is None else round(density, 3),
        "crs": facts.crs,
        "notes": list(facts.notes),
        "warnings": list(facts.warnings),
    }


def _lines(path: Path, facts: CloudFacts, density: float | None) -> Iterator[str]:
    yield f"{path}: {facts.format}"
    yield f"  points   {facts.points:,} in {path.stat().st_size:,} bytes"
    shown = ", ".join(facts.fields[:_SHOWN_FIELDS])
    more = len(facts.fields) - _SHOWN_FIELDS
    yield f"  fields   {shown}{f' and {more} more' if more > 0 else ''}"
    if facts.label_fields:
        yield f"  labels   {', '.join(facts.label_fields)}"
    if facts.bounds is not None:
        low, high = facts.bounds
        yield f"  size     {' x '.join(f'{side:.2f}' for side in high - low)} m"
        yield f"  bounds   {_corner(low)} to {_corner(high)}"
    if density is not None:
        yield f"  density  {density:.1f} points per square metre"
    yield f"  crs      {facts.crs or 'not given'}"
    for note in facts.notes:
        yield f"  note     {note}"
    for warning in facts.warnings:
        yield f"  warning  {warning}"


def _corner(corner: Iterable[float]) -> str:
    return f"({', '.join(f'{value:.2f}' for value in corner)})"
