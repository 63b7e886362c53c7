"""Errors that users see: a code, the place, the fault and the remedy.

Every expected failure of clip3d is a `Clip3DError`. The command line prints it in two lines and
exits with its exit code; from Python, catch `Clip3DError` or one of its four subclasses.
"""

from __future__ import annotations

from os import PathLike
from typing import ClassVar, Literal

# Codes are stable: scripts may compare them. To add a code, add a line here.
Code = Literal[
    "E_BACKEND",  # A backend of sparse convolution, or PyTorch below it, cannot run here.
    "E_BAD_HEADER",  # The header of a file contradicts itself or the format.
    "E_BAD_SIZE",  # The size of a file without header is not a whole number of points.
    "E_BAD_VALUE",  # A number or text is outside its valid range: an option, a loss.
    "E_BUG",  # An unexpected exception: a defect of clip3d.
    "E_CHANGED",  # A file changed while it was being read.
    "E_CLASSES",  # The class names of a command are empty, repeated or unknown.
    "E_COLUMNS",  # The columns of a file without header are unknown or wrongly named.
    "E_CORRUPT",  # The contents of a file are damaged.
    "E_CONFIG",  # A training configuration has an unknown key or an invalid value.
    "E_COUNT_MISMATCH",  # Two files that belong together have different numbers of entries.
    "E_DATASET",  # A data set lacks a file or field, or has one that contradicts its layout.
    "E_DEVICE",  # There is no such device on this machine, or it failed.
    "E_EMPTY_FILE",  # A file has no bytes, or no points.
    "E_EXISTS",  # The output exists already.
    "E_GEOGRAPHIC_CRS",  # Coordinates are degrees instead of lengths.
    "E_LABEL_FIELD",  # The input has the label fields already that would be added.
    "E_MEMORY",  # There is not enough memory.
    "E_NOT_A_CLOUD",  # A file is not a point cloud in a supported format.
    "E_NOT_FOUND",  # A file or folder does not exist.
    "E_NOT_WRITABLE",  # The output cannot be written.
    "E_NO_CHANNEL",  # The weights need colors or intensity that the cloud does not have.
    "E_NO_INPUT",  # There is no input file, such as in a folder without clouds.
    "E_NO_SPACE",  # The disk is full, or would be.
    "E_NO_XYZ",  # A cloud has no x, y and z.
    "E_PARSE",  # A text value cannot be parsed.
    "E_PERMISSION",  # A file may not be read.
    "E_PICKLE",  # A pickle could run code, and is not read.
    "E_SAME_FILE",  # Input and output are the same file.
    "E_SPACE_MISMATCH",  # Words and points, or two models, have different feature spaces.
    "E_SYSTEM",  # A package is missing, or the operating system reports an error.
    "E_TEMPLATES",  # A template has no place for the word, or several.
    "E_TOO_LARGE",  # A file or image is larger than memory or a limit allows.
    "E_TORCHVISION",  # torchvision was built for another version of PyTorch.
    "E_TRUNCATED",  # A file is shorter than its header says.
    "E_UNKNOWN_NAME",  # A name is not registered: of a format, data set, model, vocabulary …
    "E_UNSUPPORTED",  # A file is valid, but uses a variant that clip3d does not support.
    "E_USAGE",  # Options of a command contradict each other or are incomplete.
    "E_VOCABULARY",  # A vocabulary file is invalid.
    "E_VOXEL_RANGE",  # A cloud spans more voxels than can be counted.
    "E_WEIGHTS",  # A weights file is missing, damaged or of another model.
]


class Clip3DError(Exception):
    """Base class of all errors that users see.

    Attributes:
        exit_code: exit code of the command line.

    Args:
        code: stable name of the kind of error.
        where: file, option or object that is at fault.
        fault: what is wrong with it, without a full stop.
        remedy: what the user can do about it, a sentence; empty if nothing.
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
        # Exceptions are unpickled from `args` by default, which is the message alone.
        return type(self), (self.code, self.where, self.fault, self.remedy)


class InputError(Clip3DError):
    """An input file is missing, damaged or invalid. Exit code 1."""


class OutputError(Clip3DError):
    """A result cannot be written. Exit code 1."""


class UsageError(Clip3DError):
    """Options or arguments are invalid; raised before any work is done. Exit code 2."""

    exit_code = 2


class SetupError(Clip3DError):
    """This machine lacks something: weights, a device, an optional package. Exit code 4."""

    exit_code = 4
