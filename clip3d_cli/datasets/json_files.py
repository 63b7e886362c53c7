"""JSON files that describe scenes, decoded into schemas, and errors that name the place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from msgspec import Meta

from clip3d_cli.errors import InputError
from clip3d_cli.formats.file_checks import require_file
from clip3d_cli.schema import SchemaError, decode_json

T = TypeVar("T")
Positive = Annotated[float, Meta(gt=0)]

_CORRECT = "Correct the file, or export it again."


@dataclass(frozen=True, slots=True)
class Location:
    """Place in a file that describes a scene, for messages and for the files that it names.

    Attributes:
        path: the file.
        part: place within the file, such as ``cameras[3]``; empty for the whole file.
    """

    path: Path
    part: str = ""

    def error(self, fault: str, remedy: str = _CORRECT) -> InputError:
        """Return the error that what stands at this place is wrong."""
        return InputError("E_DATASET", self.path, f"{self.part}: {fault}".lstrip(": "), remedy)

    def file(self, name: str, suffixes: tuple[str, ...] = ("",)) -> Path:
        """Return the path of a file that is named at this place and exists.

        Args:
            name: path relative to the folder of the describing file.
            suffixes: texts that may follow the name; the first that makes a file is taken.

        Raises:
            InputError: E_DATASET: the name is empty or cannot be a path; E_NOT_FOUND: there is no
                such file.
        """
        if not name.strip() or "\0" in name:
            raise self.error(f"{name[:40]!r} is not the path of a file")
        paths = (self.path.parent / f"{name}{suffix}" for suffix in suffixes)
        found = next((path for path in paths if _is_file(path)), None)
        return found or self.existing(self.path.parent / name)

    def existing(self, path: Path) -> Path:
        """Return a path, if it is that of a file.

        Raises:
            InputError: E_NOT_FOUND: there is no such file.
        """
        if not _is_file(path):
            fault = f"{self.part}: {path} does not exist".lstrip(": ")
            raise InputError(
                "E_NOT_FOUND", self.path, fault, "Fetch the file, or correct its path."
            )
        return path


def read_json(path: Path, schema: type[T], *, remedy: str = _CORRECT) -> T:
    """Read a JSON file.

    Args:
        path: the file.
        schema: type of the result: see `clip3d_cli.schema`.
        remedy: what to do about a file that does not fit the schema.

    Raises:
        InputError: E_NOT_FOUND, E_PERMISSION, E_EMPTY_FILE; E_TRUNCATED: the file ends too early;
            E_DATASET: it is not JSON, or does not fit the schema.
    """
    require_file(path)
    try:
        document = path.read_bytes()
    except PermissionError as error:
        fault = "may not be read"
        raise InputError("E_PERMISSION", path, fault, "Change its permissions.") from error
    return decode(Location(path), document, schema, remedy=remedy)


def decode(location: Location, document: bytes, schema: type[T], *, remedy: str = _CORRECT) -> T:
    """Decode a JSON document, or a part of one.

    Args:
        location: place of the document.
        document: UTF-8 text.
        schema: type of the result.
        remedy: what to do about a document that does not fit the schema.

    Raises:
        InputError: E_TRUNCATED: the document ends too early; E_DATASET: it is not JSON, or does
            not fit the schema.
    """
    try:
        return decode_json(document, schema)
    except SchemaError as error:
        fault = f"{location.part} {error}".lstrip()
        if location.part and error.place:
            fault = f"{location.part}.{error}"
        if error.is_truncated:
            raise InputError(
                "E_TRUNCATED",
                location.path,
                fault,
                "The copy is truncated; fetch or write it again.",
            ) from error
        raise InputError("E_DATASET", location.path, fault, error.remedy or remedy) from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # for example a name that is too long
        return False
