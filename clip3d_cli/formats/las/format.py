"""LAS and LAZ files, 1.0 to 1.4; COPC is read as LAZ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.errors import InputError
from clip3d_cli.formats.colors import byte_colors, unit_intensity
from clip3d_cli.formats.file_checks import checked_point_count, truncated
from clip3d_cli.formats.format import CloudFacts, ReadOptions
from clip3d_cli.formats.label_fields import is_label_field, label_columns, require_length
from clip3d_cli.formats.las.copy import COPC, LasCopy, class_names_body
from clip3d_cli.formats.las.crs import Crs, crs_of
from clip3d_cli.formats.las.extra_bytes import extra_fields, field_texts
from clip3d_cli.formats.las.header import LasHeader, read_las_header
from clip3d_cli.formats.las.laspy_check import require_readable
from clip3d_cli.formats.las.laz import packing_for, read_laz_chunks
from clip3d_cli.formats.las.point_records import read_records

LABEL_PREFIX = "clip3d_"

# Byte of a point at which red, green and blue stand, three uint16, by point format.
_RGB_AT = {2: 20, 3: 28, 5: 28, 7: 30, 8: 30, 10: 30}
_WITH_GPS_TIME = (1, 3, 4, 5, 6, 7, 8, 9, 10)
_WITH_INFRARED = (8, 10)
_WITH_WAVEFORM = (4, 5, 9, 10)
_EXTERNAL_WAVEFORMS = 0x4  # flag of the global encoding
_POINT_BYTES = 64  # of a point in memory while a file is read
_DEGREES = np.array([[-360.0, -90.0], [360.0, 90.0]])
_FINE_SCALE = 1e-5


class LasFormat:
    """The exchange format of surveyors, compressed (LAZ) or not."""

    name = "las"
    suffixes = (".las", ".laz")
    writes = (".las", ".laz")

    def sniff(self, path: Path, head: bytes) -> bool:
        """Return whether the file starts with ``LASF``."""
        return head[:4] == b"LASF"

    def open(self, path: Path, options: ReadOptions) -> LasFile:
        """Parse header, records and chunk table, and check them against the file's size."""
        return LasFile(path, options)


class LasFile:
    """A LAS or LAZ file that was opened.

    Args:
        path: the file.
        options: how to read it.

    Attributes:
        facts: facts from header, records and chunk table.

    Raises:
        InputError: E_TRUNCATED, E_BAD_HEADER, E_COUNT_MISMATCH, E_CORRUPT, E_UNSUPPORTED;
            E_GEOGRAPHIC_CRS: coordinates are degrees.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        self._header = header = read_las_header(path)
        self._chunks = None
        if header.compressed:
            self._chunks = read_laz_chunks(path, header, allow_truncated=options.allow_truncated)
        self._points, warnings = self._point_count(options)
        if header.evlrs_cut and not options.allow_truncated:
            raise truncated(path, "data ends after the points, within the extended records")
        self._extra_fields = extra_fields(path, header)
        self._crs = crs = crs_of(path, header)
        bounds = header.bounds
        if crs is None:
            warnings.append(_no_crs(header))
        elif crs.is_geographic:
            warnings.append(_check_degrees(path, header, crs))
        else:
            bounds = bounds * _metres_of_units(crs)
            warnings += [*crs.warnings, *_conversion(crs)]
        if header.encoding & _EXTERNAL_WAVEFORMS:
            warnings.append("waveforms are in a .wdp file: copy it beside the labelled file")
        fields = self._extra_fields
        self.facts = CloudFacts(
            format=_format_text(header),
            points=self._points,
            fields=(*_standard_fields(header.point_format), *field_texts(fields)),
            bounds=bounds if self._points else None,
            crs=crs.name if crs else None,
            warnings=tuple(warnings),
            label_fields=tuple(f.name for f in fields if is_label_field(f.name, LABEL_PREFIX)),
            memory=self._points * _POINT_BYTES,
        )

    def read(self) -> tuple[PointCloud, tuple[str, ...]]:
        """Return the points in metres with colors and intensity, and the ASPRS classes."""
        header = self._header
        columns = _raw_columns(header)
        # (N, width) numbers by name, filled chunk by chunk.
        raw = {n: np.empty((self._points, c.width), c.dtype) for n, c in columns.items()}
        stop = 0
        for rows, records in read_records(self._path, header, self._chunks, self._points):
            for name, column in columns.items():
                raw[name][rows] = column.take(records)
            stop = rows.stop
        raw = {name: values[:stop] for name, values in raw.items()}  # fewer if the file was cut
        intensity = raw["intensity"][:, 0]
        cloud = PointCloud(
            _metres(raw["xyz"], header, self._crs),
            byte_colors(raw["rgb"]) if "rgb" in raw else None,
            unit_intensity(intensity) if intensity.any() else None,
        )
        return cloud, (_class_note(raw["classification"][:, 0], header.point_format),)

    def write_copy(self, labels: Labels, target: Path, suffix: str) -> None:
        """Copy the file with the extra fields ``clip3d_label`` and ``clip3d_score``."""
        header = self._header
        # Of a file that was cut off, only a read can tell how many points there are.
        is_cut = self._chunks is not None and self._chunks.is_cut
        points = len(labels) if is_cut else self._points
        require_length(self._path, points, labels)
        kept = [f for f in self._extra_fields if not is_label_field(f.name, LABEL_PREFIX)]
        added = label_columns(labels, LABEL_PREFIX)
        extra_bytes = sum(field.size for field in kept)
        extra_bytes += sum(column.values.dtype.itemsize for column in added)
        packing = None
        if suffix == ".laz":
            packing = packing_for(self._path, header.point_format, extra_bytes)
        copy = LasCopy(
            source=self._path,
            header=header,
            chunks=self._chunks,
            count=points,
            kept=kept,
            added=added,
            class_names=class_names_body(labels),
            packing=packing,
        )
        copy.write(target)
        require_readable(target, self._path, points, [column.name for column in added])

    def _point_count(self, options: ReadOptions) -> tuple[int, list[str]]:
        """Return the number of points to read, and warnings about it."""
        header, chunks = self._header, self._chunks
        if chunks is None:
            most = fewest = (header.points_stop - header.points_start) // header.record_bytes
        else:
            fewest, most = chunks.min_points, chunks.max_points
            if chunks.is_cut:
                warning = "the file ends early; the points before its end are used"
                return min(header.count, most), [warning]
        if not header.count and fewest:
            raise truncated(
                self._path,
                "the program that wrote it was interrupted: the header says 0 points, "
                f"the file holds {most:,}",
            )
        points = checked_point_count(self._path, header.count, most, options.allow_truncated)
        extra = fewest - points
        if extra > 0:
            return points, [f"{extra:,} points more than the header says are ignored"]
        return points, []


@dataclass(frozen=True, slots=True)
class _RawColumn:
    """Position of numbers of one dtype in a raw point.

    Attributes:
        start: byte of a point at which the first number stands.
        dtype: numpy dtype of the numbers.
        width: how many numbers there are.
    """

    start: int
    dtype: str
    width: int

    def take(self, records: npt.NDArray[np.uint8]) -> npt.NDArray[np.generic]:
        """Return the (P, width) numbers of P raw points."""
        stop = self.start + self.width * np.dtype(self.dtype).itemsize
        return np.ascontiguousarray(records[:, self.start : stop]).view(self.dtype)


def _raw_columns(header: LasHeader) -> dict[str, _RawColumn]:
    columns = {
        "xyz": _RawColumn(0, "<i4", 3),
        "intensity": _RawColumn(12, "<u2", 1),
        "classification": _RawColumn(15 if header.point_format < 6 else 16, "u1", 1),
    }
    if header.point_format in _RGB_AT:
        columns["rgb"] = _RawColumn(_RGB_AT[header.point_format], "<u2", 3)
    return columns


def _format_text(header: LasHeader) -> str:
    packing = " (LAZ)" if header.compressed else ""
    if any(record.user_id == COPC for record in header.vlrs):
        packing = " (COPC)"
    return f"LAS 1.{header.version} point format {header.point_format}{packing}"


def _standard_fields(point_format: int) -> tuple[str, ...]:
    fields = ["xyz int32", "intensity uint16", "returns", "classification", "scan_angle"]
    fields += ["user_data uint8", "point_source_id uint16"]
    fields += ["gps_time float64"] if point_format in _WITH_GPS_TIME else []
    fields += ["rgb uint16"] if point_format in _RGB_AT else []
    fields += ["nir uint16"] if point_format in _WITH_INFRARED else []
    fields += ["waveform"] if point_format in _WITH_WAVEFORM else []
    return tuple(fields)


def _no_crs(header: LasHeader) -> str:
    corners = header.bounds[:, :2]  # (2, 2): low and high corner, x and y
    look_like_degrees = (np.abs(corners) <= _DEGREES[1]).all()
    if look_like_degrees and (header.scales[:2] <= _FINE_SCALE).all():
        return "no coordinate reference system; if these are degrees, labels will be wrong"
    return "no coordinate reference system: coordinates are taken as metres"


def _check_degrees(path: Path, header: LasHeader, crs: Crs) -> str:
    """Return a warning if the coordinates are too large for degrees; raise if they are not."""
    corners = header.bounds[:, :2]
    if (corners < _DEGREES[0]).any() or (corners > _DEGREES[1]).any():
        return f"{crs.name} is in degrees, but the coordinates cannot be: they are taken as metres"
    raise InputError(
        "E_GEOGRAPHIC_CRS",
        path,
        f"its coordinates are degrees ({crs.name})",
        "Project it to a system in metres first, such as UTM.",
    )


def _conversion(crs: Crs) -> list[str]:
    """Return a warning that says which axes are converted to metres, if any are."""
    horizontal, vertical = f"{crs.horizontal_m:.9g} m", f"{crs.vertical_m:.9g} m"
    if crs.horizontal_m == crs.vertical_m:
        converted = {} if crs.horizontal_m == 1 else {"coordinates are": horizontal}
    else:
        units = {"x and y are": horizontal, "z is": vertical}
        converted = {axes: unit for axes, unit in units.items() if unit != "1 m"}
    return [f"{axes} converted to metres from units of {u}" for axes, u in converted.items()]


def _metres_of_units(crs: Crs) -> npt.NDArray[np.float64]:
    """Return metres per unit of x, y and z."""
    return np.array([crs.horizontal_m, crs.horizontal_m, crs.vertical_m])


def _metres(
    raw: npt.NDArray[np.int32], header: LasHeader, crs: Crs | None
) -> npt.NDArray[np.float64]:
    """Return (N, 3) float64 metres of the (N, 3) integers in the file."""
    with np.errstate(over="ignore", invalid="ignore"):  # a damaged scale may be 1e300
        xyz: npt.NDArray[np.float64] = raw * header.scales
        xyz += header.offsets
    if crs is None or crs.is_geographic or (crs.horizontal_m == 1 and crs.vertical_m == 1):
        return xyz
    return xyz * _metres_of_units(crs)


def _class_note(codes: npt.NDArray[np.uint8], point_format: int) -> str:
    # Before format 6, the upper three bits are flags.
    counts = np.bincount(codes if point_format >= 6 else codes & 31)
    total = max(int(counts.sum()), 1)
    shares = [f"{code}: {100 * counts[code] / total:.1f} %" for code in np.flatnonzero(counts)]
    return f"classification {', '.join(shares)}" if shares else "classification: none"
