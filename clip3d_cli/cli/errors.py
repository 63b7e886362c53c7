"""Turn every error into two lines on stderr and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from clip3d_cli.cli.terminal import print_message
from clip3d_cli.errors import Clip3DError, InputError, OutputError, SetupError, UsageError

SOME_FAILED = 3
INTERRUPTED = 130
# Places named by errors that are raised below the file layer and know of no file.
_NOT_A_FILE = ("the cloud", "clip3d", "a file")
_COMMANDS_FOR_A_FILE = "clip3d info {0}, or clip3d label {0} --classes 'car,tree,road'"


@runtime_checkable
class ParserError(Protocol):
    """What Typer raises for invalid arguments, whichever Click it ships."""

    exit_code: int

    def format_message(self) -> str:
        """Return what is wrong."""
        ...


def run(app: Callable[..., object], arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; errors are printed on stderr."""
    _reopen_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that are no text: print them escaped instead of failing.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            if not _is_debugging():
                # Warnings of libraries are for developers; clip3d reports what users need.
                warnings.simplefilter("ignore")
            code = app(list(arguments), prog_name="clip3d", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        return _close_stdout()
    except Exception as error:  # noqa: BLE001 - nothing may leave as a traceback
        converted = to_clip3d_error(error, arguments)
        print_error(converted, error)
        return converted.exit_code
    if code == INTERRUPTED:
        return _interrupted()
    return code if isinstance(code, int) else 0


def print_error(error: Clip3DError, cause: BaseException | None = None) -> None:
    """Print an error in two lines on stderr; with ``CLIP3D_DEBUG=1`` also the traceback."""
    if cause is not None and _is_debugging():
        traceback.print_exception(cause)
    print_message(str(error))
    if error.remedy:
        print_message(f"hint: {error.remedy}")


def to_clip3d_error(error: Exception, arguments: Sequence[str] = ()) -> Clip3DError:
    """Convert any exception into an error with a code, a place and a remedy."""
    if isinstance(error, Clip3DError):
        return error
    if isinstance(error, ParserError):
        return _usage_error(error, arguments)
    if isinstance(error, MemoryError) or _is_torch_memory_error(error):
        return InputError(
            "E_MEMORY",
            "clip3d",
            "there is not enough memory",
            "Cut the cloud into smaller tiles with --tile, or use --device cpu.",
        )
    if isinstance(error, ImportError) and not (error.name or "").startswith("clip3d_cli"):
        return SetupError(
            "E_SYSTEM",
            error.name or "a package",
            f"cannot be imported: {error}",
            "Install clip3d again; clip3d doctor shows what else is missing.",
        )
    if "CUDA error" in str(error):
        return SetupError(
            "E_DEVICE",
            "CUDA",
            str(error).partition("\n")[0],
            "Use --device cpu, or see nvidia-smi.",
        )
    if isinstance(error, OSError) and error.errno is not None:
        return _system_error(error)
    return Clip3DError(
        "E_BUG",
        "clip3d",
        f"{type(error).__name__}: {error}",
        "This is a bug in clip3d. Run the command again with CLIP3D_DEBUG=1 to get the traceback, "
        "and report it with the output of clip3d doctor.",
    )


def with_source(error: Clip3DError, source: Path) -> Clip3DError:
    """Return the error with the file that was being processed, if it names none itself."""
    if error.where not in _NOT_A_FILE:
        return error
    return type(error)(error.code, source, error.fault, error.remedy)


def error_entry(error: Clip3DError) -> dict[str, str]:
    """Return the entry of an error in JSON documents."""
    return {
        "code": error.code,
        "where": error.where,
        "fault": error.fault,
        "hint": error.remedy,
    }


def exit_code(errors: Sequence[Clip3DError], done: int) -> int:
    """Return the exit code of a command with one or several inputs.

    Args:
        errors: errors of the inputs that failed.
        done: number of inputs that did not fail.
    """
    if not errors:
        return 0
    if done:
        return SOME_FAILED
    return errors[0].exit_code if len(errors) == 1 else 1


def _interrupted() -> int:
    print_message("interrupted")
    return INTERRUPTED


def _close_stdout() -> int:
    """Return the exit code if nobody reads stdout any more, as after ``| head``."""
    # The interpreter flushes stdout once more at exit, which would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _reopen_closed_streams() -> None:
    """Open the null device for standard streams that were closed when the process started."""
    # In this order, because each takes the lowest free file descriptor: no result file may get
    # the number of a standard stream.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")
            setattr(sys, name, stream)


def _is_debugging() -> bool:
    return bool(os.environ.get("CLIP3D_DEBUG"))


def _usage_error(error: ParserError, arguments: Sequence[str]) -> UsageError:
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "clip3d"
    remedy = f"See {where} --help."
    if arguments and where == "clip3d" and Path(arguments[0]).suffix:
        remedy = f"That looks like a file. Try {_COMMANDS_FOR_A_FILE.format(arguments[0])}."
    return UsageError("E_USAGE", where, error.format_message().rstrip("."), remedy)


def _system_error(error: OSError) -> Clip3DError:
    # Failed reads and writes carry no file name.
    where = os.fsdecode(error.filename or "a file")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError("E_NO_SPACE", where, "the disk is full", "Free some space.")
    if error.errno == errno.ENAMETOOLONG:
        return UsageError("E_BAD_VALUE", where, "is too long a file name", "Choose another.")
    if isinstance(error, PermissionError):
        return InputError("E_PERMISSION", where, "permission denied", "Change its permissions.")
    if isinstance(error, FileNotFoundError):
        return InputError("E_NOT_FOUND", where, "does not exist", "Check the path.")
    return SetupError("E_SYSTEM", where, error.strerror or str(error), "Check disk and network.")


def _is_torch_memory_error(error: Exception) -> bool:
    """Return whether PyTorch ran out of memory, without importing it."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
