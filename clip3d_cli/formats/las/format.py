"""LAS and LAZ, 1.0 to 1.4, COPC read as LAZ: points as raw records, nothing else touched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError
from clip3d_cli.formats.colors import byte_colors, unit_intensity
from clip3d_cli.formats.file_checks import truncated, usable_points
from clip3d_cli.formats.format import CloudFacts, ReadOptions
from clip3d_cli.formats.label_fields import is_label_field, label_columns, require_length
from clip3d_cli.formats.las.copy import COPC, LasCopy, names_body
from clip3d_cli.formats.las.crs import Crs, crs_of
from clip3d_cli.formats.las.extra_bytes import extra_fields, field_texts
from clip3d_cli.formats.las.header import LasHeader, read_las_header
from clip3d_cli.formats.las.laspy_check import require_readable
from clip3d_cli.formats.las.points import (
    laz_points_before_cut,
    laz_points_held,
    packing_for,
    point_chunks,
)

PREFIX = "clip3d_"

_RGB_AT = {2: 20, 3: 28, 5: 28, 7: 30, 8: 30, 10: 30}
_GPS_TIME = (1, 3, 4, 5, 6, 7, 8, 9, 10)
_WAVEFORMS = (4, 5, 9, 10)
_EXTERNAL_WAVEFORMS = 0x4
_POINT_BYTES = 64
_DEGREES = np.array([[-360.0, -90.0], [360.0, 90.0]])
_FINE_SCALE = 1e-5


class LasFormat:
    """The exchange format of surveyors, packed (LAZ) or not."""

    name = "las"
    suffixes = (".las", ".laz")
    writes = (".las", ".laz")

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the file starts with ``LASF``."""
        return head[:4] == b"LASF"

    def inspect(self, path: Path, options: ReadOptions) -> CloudFacts:
        """The facts of header and records, checked against the file's size and chunk table."""
        header = read_las_header(path)
        points, warnings = _count(path, header, options)
        if header.evlrs_cut and not options.allow_truncated:
            raise truncated(path, "data ends after the points, within the extended records")
        fields = extra_fields(path, header)
        crs = crs_of(path, header)
        bounds = header.bounds
        if crs is None:
            warnings.append(_no_crs(header))
        elif crs.is_geographic:
            warnings.append(_refuse_degrees(path, header, crs))
        elif crs.horizontal_m != 1 or crs.vertical_m != 1:
            bounds = bounds * _unit_m(crs)
            warnings.append(f"coordinates are converted to metres from {crs.horizontal_m:.9g} m")
        if header.encoding & _EXTERNAL_WAVEFORMS:
            warnings.append("waveforms lie in a .wdp file: copy it beside the labelled file")
        return CloudFacts(
            format=_format_text(header),
            points=points,
            fields=(*_standard_fields(header.point_format), *field_texts(fields)),
            bounds=bounds if points else None,
            crs=crs.name if crs else None,
            warnings=tuple(warnings),
            label_fields=tuple(f.name for f in fields if is_label_field(f.name, PREFIX)),
            memory=points * _POINT_BYTES,
        )

    def read(self, path: Path, options: ReadOptions) -> tuple[PointCloud, CloudFacts]:
        """The points in metres, with colors where there are any, and intensity."""
        facts = self.inspect(path, options)
        header = read_las_header(path)
        columns = _raw_columns(header)
        found = {n: np.empty((facts.points, c.width), c.dtype) for n, c in columns.items()}
        held = 0
        carefully = _is_cut(path, header, options)
        for rows, chunk in point_chunks(path, header, facts.points, carefully=carefully):
            for name, column in columns.items():
                found[name][rows] = column.take(chunk)
            held = rows.stop
        found = {name: values[:held] for name, values in found.items()}
        intensity = found["intensity"][:, 0]
        cloud = PointCloud(
            _metres(found["xyz"], header, crs_of(path, header)),
            byte_colors(found["rgb"]) if "rgb" in found else None,
            unit_intensity(intensity) if intensity.any() else None,
        )
        codes = found["classification"][:, 0]
        notes = (_class_note(codes, header.point_format), *facts.notes)
        return cloud, dataclasses.replace(facts, points=held, notes=notes)

    def write(
        self, labels: Labels, source: Path, part: Path, options: ReadOptions, suffix: str
    ) -> None:
        """Copy the source with the extra fields ``clip3d_label`` and ``clip3d_score``."""
        header = read_las_header(source)
        carefully = _is_cut(source, header, options)
        points = len(labels) if carefully else _count(source, header, options)[0]
        require_length(source, points, labels)
        kept = [f for f in extra_fields(source, header) if not is_label_field(f.name, PREFIX)]
        added = label_columns(labels, PREFIX)
        extra_bytes = sum(field.size for field in kept)
        extra_bytes += sum(column.values.dtype.itemsize for column in added)
        is_packed = suffix == ".laz"
        copy = LasCopy(
            source=source,
            header=header,
            count=points,
            carefully=carefully,
            kept=kept,
            added=added,
            names=names_body(labels),
            packing=packing_for(source, header.point_format, extra_bytes) if is_packed else None,
        )
        copy.write(part)
        require_readable(part, source, points, [column.name for column in added])


def _count(path: Path, header: LasHeader, options: ReadOptions) -> tuple[int, list[str]]:
    """How many points to take, and what is odd about the number."""
    if not header.compressed:
        held = (header.points_stop - header.points_start) // header.record_bytes
        least = held
    else:
        try:
            least, held = laz_points_held(path, header)
        except InputError as error:
            if error.code == "E_TRUNCATED" and options.allow_truncated:
                points = laz_points_before_cut(path, header)
                return points, ["the file was cut off; what comes before the cut is taken"]
            raise
    if not header.count and least:
        raise truncated(
            path, f"the program that wrote it was interrupted: it says 0 points and holds {held:,}"
        )
    points = usable_points(path, header.count, held, options.allow_truncated)
    extra = least - points
    return points, [f"{extra:,} points more than the header says are left out"] if extra > 0 else []


def _is_cut(path: Path, header: LasHeader, options: ReadOptions) -> bool:
    """Whether a LAZ file lacks its chunk table and may be read up to the cut."""
    if not (header.compressed and options.allow_truncated):
        return False
    try:
        laz_points_held(path, header)
    except InputError as error:
        return error.code == "E_TRUNCATED"
    return False


def _format_text(header: LasHeader) -> str:
    packing = " (LAZ)" if header.compressed else ""
    if any(record.user_id == COPC for record in header.vlrs):
        packing = " (COPC)"
    return f"LAS 1.{header.version} point format {header.point_format}{packing}"


def _standard_fields(point_format: int) -> tuple[str, ...]:
    fields = ["xyz int32", "intensity uint16", "returns", "classification", "scan_angle"]
    fields += ["user_data uint8", "point_source_id uint16"]
    fields += ["gps_time float64"] if point_format in _GPS_TIME else []
    fields += ["rgb uint16"] if point_format in _RGB_AT else []
    fields += ["nir uint16"] if point_format in (8, 10) else []
    fields += ["waveform"] if point_format in _WAVEFORMS else []
    return tuple(fields)


@dataclasses.dataclass(frozen=True, slots=True)
class _RawColumn:
    """Numbers of one kind inside every raw point."""

    start: int
    dtype: str
    width: int

    def take(self, chunk: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
        """(P, width) numbers of a chunk of raw points."""
        stop = self.start + self.width * np.dtype(self.dtype).itemsize
        return np.ascontiguousarray(chunk[:, self.start : stop]).view(self.dtype)


def _raw_columns(header: LasHeader) -> dict[str, _RawColumn]:
    columns = {
        "xyz": _RawColumn(0, "<i4", 3),
        "intensity": _RawColumn(12, "<u2", 1),
        "classification": _RawColumn(15 if header.point_format < 6 else 16, "u1", 1),
    }
    if header.point_format in _RGB_AT:
        columns["rgb"] = _RawColumn(_RGB_AT[header.point_format], "<u2", 3)
    return columns


def _no_crs(header: LasHeader) -> str:
    corners = header.bounds[:, :2]
    looks = (np.abs(corners) <= _DEGREES[1]).all() and (header.scales[:2] <= _FINE_SCALE).all()
    if looks:
        return "no coordinate reference system; if these are degrees, labels will be wrong"
    return "no coordinate reference system: taken as metres"


def _refuse_degrees(path: Path, header: LasHeader, crs: Crs) -> str:
    corners = header.bounds[:, :2]
    if (corners < _DEGREES[0]).any() or (corners > _DEGREES[1]).any():
        return f"{crs.name} is in degrees, the coordinates cannot be: taken as metres"
    raise InputError(
        "E_GEOGRAPHIC_CRS",
        path,
        f"its coordinates are degrees ({crs.name})",
        "Project it to a system in metres first, such as UTM.",
    )


def _unit_m(crs: Crs) -> npt.NDArray[np.float64]:
    return np.array([crs.horizontal_m, crs.horizontal_m, crs.vertical_m])


def _metres(
    raw: npt.NDArray[np.int32], header: LasHeader, crs: Crs | None
) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged scale may be 1e300
        xyz: npt.NDArray[np.float64] = raw * header.scales
        xyz += header.offsets
    if crs is None or crs.is_geographic or (crs.horizontal_m == 1 and crs.vertical_m == 1):
        return xyz
    return xyz * _unit_m(crs)


def _class_note(codes: npt.NDArray[np.uint8], point_format: int) -> str:
    counts = np.bincount(codes if point_format >= 6 else codes & 31)
    total = max(int(counts.sum()), 1)
    shares = [f"{code}: {100 * counts[code] / total:.1f} %" for code in np.flatnonzero(counts)]
    return f"classification {', '.join(shares)}" if shares else "classification: none"
