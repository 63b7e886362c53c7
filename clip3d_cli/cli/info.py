"""``clip3d info``: describe scans and weights files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip3d_cli.cli.options import AsJson, Columns

if TYPE_CHECKING:
    from clip3d_cli.encoders.spec import EncoderSpec
    from clip3d_cli.errors import Clip3DError
    from clip3d_cli.formats.format import CloudFacts, ReadOptions

SCHEMA = "clip3d.info/1"
_WEIGHTS_SUFFIX = ".safetensors"
_WEIGHTS_FORMAT = "clip3d weights"
_MAX_FIELDS_SHOWN = 40
_MAX_LETTERS_SHOWN = 80


def info(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT",
            readable=False,
            help="Scans: PLY, LAS, LAZ, PCD, BIN, NPY, NPZ; or weights: SAFETENSORS.",
        ),
    ],
    columns: Columns = None,
    allow_truncated: Annotated[
        bool, typer.Option("--allow-truncated", help="Accept a file that ends early.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Describe scans or weights files.

    For scans: format, points, fields, bounds, density, coordinate system and warnings. Density is
    the number of points per occupied square metre, seen from above; it is left out for large scans.
    For weights: the network, its inputs and voxel sizes, the feature space of its words, the
    classes of its closed head, and its provenance. Nothing is written.

    \b
    Examples:
      clip3d info scan.ply
      clip3d info runs/ft/points.safetensors
      clip3d info --json tiles/*.laz
    """  # noqa: D301
    from clip3d_cli.cli.errors import error_entry, exit_code, print_error, to_clip3d_error
    from clip3d_cli.cli.options import read_options
    from clip3d_cli.cli.terminal import print_json, print_result

    reading = read_options(columns, allow_truncated=allow_truncated)
    entries: list[dict[str, object]] = []
    errors: list[Clip3DError] = []
    for path in inputs:
        try:
            if path.suffix.lower() == _WEIGHTS_SUFFIX:
                entry, lines = _describe_weights(path)
            else:
                entry, lines = _describe_scan(path, reading)
        except Exception as error:  # noqa: BLE001 - one bad file must not stop the others
            converted = to_clip3d_error(error)
            print_error(converted, error)
            errors.append(converted)
            entries.append({"input": str(path), "error": error_entry(converted)})
            continue
        entries.append(entry)
        if not as_json:
            for line in lines:
                print_result(line)
    if as_json:
        print_json({"schema": SCHEMA, "results": entries})
    return exit_code(errors, len(inputs) - len(errors))


def _describe_scan(path: Path, reading: ReadOptions) -> tuple[dict[str, object], Iterable[str]]:
    """Return the description of a scan as a JSON entry and as lines for people."""
    from clip3d_cli.formats.cloud_file import open_cloud
    from clip3d_cli.labelling.class_counts import points_per_m2

    cloud_file = open_cloud(path, reading)
    cloud = cloud_file.read_if_small()
    density = None if cloud is None else points_per_m2(cloud)
    facts = cloud_file.facts
    bounds = facts.bounds
    entry = {
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
    return entry, _scan_lines(path, facts, density)


def _scan_lines(path: Path, facts: CloudFacts, density: float | None) -> Iterator[str]:
    yield f"{path}: {facts.format}"
    yield f"  points   {facts.points:,} in {path.stat().st_size:,} bytes"
    shown = ", ".join(facts.fields[:_MAX_FIELDS_SHOWN])
    more = len(facts.fields) - _MAX_FIELDS_SHOWN
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


def _describe_weights(path: Path) -> tuple[dict[str, object], Iterable[str]]:
    """Return the description of a weights file as a JSON entry and as lines for people."""
    from clip3d_cli.encoders.weights_file import file_sha256, read_weights

    spec, state = read_weights(path)
    parameters = sum(array.size for array in state.values())
    sha256 = file_sha256(path)
    closed = spec.closed
    entry = {
        "input": str(path),
        "format": _WEIGHTS_FORMAT,
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "architecture": spec.architecture,
        "config": dict(spec.config),
        "numbers": parameters,
        "inputs": list(spec.inputs),
        "voxel_sizes_m": list(spec.voxel_sizes_m),
        "space": {"name": spec.space.name, "dim": spec.space.dim},
        "text_encoder": spec.text_encoder,
        "logit_scale": spec.logit_scale,
        "closed": None
        if closed is None
        else {
            "vocabulary": closed.vocabulary,
            "logit_scale": closed.logit_scale,
            "classes": [
                {"name": entry.name, "id": entry.class_id} for entry in closed.classes.classes
            ],
        },
        "provenance": dict(spec.provenance),
    }
    return entry, _weights_lines(path, spec, parameters, sha256)


def _weights_lines(path: Path, spec: EncoderSpec, parameters: int, sha256: str) -> Iterator[str]:
    config = ", ".join(f"{key} {value}" for key, value in sorted(spec.config.items()))
    yield f"{path}: {_WEIGHTS_FORMAT}"
    yield f"  network  {spec.architecture}{f' ({config})' if config else ''}"
    yield f"  size     {parameters:,} parameters in {path.stat().st_size:,} bytes"
    yield f"  sha256   {sha256}"
    yield f"  inputs   {', '.join(spec.inputs)}"
    yield f"  voxels   {', '.join(f'{size:g}' for size in spec.voxel_sizes_m)} m"
    yield f"  words    any, in {spec.space.name} ({spec.space.dim}), by {spec.text_encoder}"
    if spec.closed is None:
        yield "  closed   no head of fixed classes"
    else:
        names = ", ".join(spec.closed.names)
        yield f"  closed   {len(spec.closed.names)} classes of {spec.closed.vocabulary}: {names}"
    for key, value in sorted(spec.provenance.items()):
        text = str(value)
        shown = text if len(text) <= _MAX_LETTERS_SHOWN else f"{text[:_MAX_LETTERS_SHOWN]}..."
        yield f"  note     {key}: {shown}"
