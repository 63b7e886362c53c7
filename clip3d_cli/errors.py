"""Every refusal of clip3d: the place, the fault and the remedy, in one line each.

A code is stable: scripts may match on it. Adding one means adding a word to `Code`.
"""

from __future__ import annotations

from os import PathLike
from typing import ClassVar, Literal

Code = Literal[
    "E_BACKEND",
    "E_BAD_HEADER",
    "E_BAD_SIZE",
    "E_BAD_VALUE",
    "E_BUG",
    "E_CHANGED",
    "E_CLASSES",
    "E_COLUMNS",
    "E_CORRUPT",
    "E_CONFIG",
    "E_COUNT_MISMATCH",
    "E_DATASET",
    "E_DEVICE",
    "E_EMPTY_FILE",
    "E_EXISTS",
    "E_GEOGRAPHIC_CRS",
    "E_LABEL_FIELD",
    "E_MEMORY",
    "E_NOT_A_CLOUD",
    "E_NOT_FOUND",
    "E_NOT_WRITABLE",
    "E_NO_CHANNEL",
    "E_NO_INPUT",
    "E_NO_SPACE",
    "E_NO_XYZ",
    "E_PARSE",
    "E_PERMISSION",
    "E_PICKLE",
    "E_SAME_FILE",
    "E_SPACE_MISMATCH",
    "E_SYSTEM",
    "E_TEMPLATES",
    "E_TOO_LARGE",
    "E_TORCHVISION",
    "E_TRUNCATED",
    "E_UNKNOWN_NAME",
    "E_UNSUPPORTED",
    "E_USAGE",
    "E_VOCABULARY",
    "E_VOXEL_RANGE",
    "E_WEIGHTS",
]


class Clip3DError(Exception):
    """A refusal: what is wrong, where, and what to do about it.

    Args:
        code: the stable name of the fault.
        where: the file, option or object at fault.
        fault: what is wrong with it, without a full stop.
        remedy: what the user can do, a sentence.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, code: Code, where: str | PathLike[str], fault: str, remedy: str = ""
    ) -> None:
        self.code = code
        self.where = str(where)
        self.fault = fault
        self.remedy = remedy
        super().__init__(f"error[{code}]: {self.where}: {fault}")

    def __reduce__(self) -> tuple[type[Clip3DError], tuple[Code, str, str, str]]:
        # By default it would be made again from its line alone, and that fails.
        return type(self), (self.code, self.where, self.fault, self.remedy)


class InputError(Clip3DError):
    """A file that cannot be read, or that says what cannot be true."""


class OutputError(Clip3DError):
    """A result that cannot be written."""


class UsageError(Clip3DError):
    """A command that cannot mean anything: found before any work is done."""

    exit_code = 2


class SetupError(Clip3DError):
    """Something this machine lacks: weights, a device, an optional package."""

    exit_code = 4
