"""The way in and out: every fault becomes lines on stderr and an exit code, here only."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from clip3d_cli.commands.terminal import say
from clip3d_cli.errors import Clip3DError, InputError, OutputError, SetupError, UsageError

SOME_FAILED = 3
INTERRUPTED = 130
# Where faults are that are found below files, or in none of clip3d's own checks.
_NO_FILES = ("the cloud", "clip3d", "a file")
_COMMANDS_OF_A_FILE = "clip3d info {0}, or clip3d label {0} --classes 'car,tree,road'"


@runtime_checkable
class ParserFault(Protocol):
    """What Typer raises for arguments it cannot parse, whichever Click it carries."""

    exit_code: int

    def format_message(self) -> str:
        """What is wrong."""
        ...


def run(app: Callable[..., object], arguments: Sequence[str]) -> int:
    """The exit code of a command line; faults have been said on stderr."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # A file name need not be text: show it spelled out rather than fail on it.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            if not _debugging():
                # What libraries warn of is for developers; what users should know is said.
                warnings.simplefilter("ignore")
            code = app(list(arguments), prog_name="clip3d", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return interrupted()
    except BrokenPipeError:
        return close_quietly()
    except Exception as error:  # noqa: BLE001 - the door: nothing may leave as a traceback
        refusal = refusal_of(error, arguments)
        report(refusal, error)
        return refusal.exit_code
    if code == INTERRUPTED:
        return interrupted()
    return code if isinstance(code, int) else 0


def report(refusal: Clip3DError, cause: BaseException | None = None) -> None:
    """Say a refusal on stderr in two lines; ``CLIP3D_DEBUG=1`` adds where it came from."""
    if cause is not None and _debugging():
        traceback.print_exception(cause)
    say(str(refusal))
    if refusal.remedy:
        say(f"hint: {refusal.remedy}")


def refusal_of(error: Exception, arguments: Sequence[str] = ()) -> Clip3DError:
    """Any fault as a refusal with a code, a place and a remedy."""
    if isinstance(error, Clip3DError):
        return error
    if isinstance(error, ParserFault):
        return _usage(error, arguments)
    if isinstance(error, MemoryError) or _is_torch_memory(error):
        return InputError(
            "E_MEMORY",
            "clip3d",
            "there is not enough memory for this",
            "Cut the cloud into smaller tiles with --tile, or use --device cpu.",
        )
    if isinstance(error, ImportError) and not (error.name or "").startswith("clip3d_cli"):
        return SetupError(
            "E_SYSTEM",
            error.name or "a package",
            f"cannot be imported: {error}",
            "Install clip3d again; clip3d doctor says what else is missing.",
        )
    if "CUDA error" in str(error):
        return SetupError(
            "E_DEVICE",
            "CUDA",
            str(error).partition("\n")[0],
            "Use --device cpu, or see nvidia-smi.",
        )
    if isinstance(error, OSError) and error.errno is not None:
        return _file_fault(error)
    return Clip3DError(
        "E_BUG",
        "clip3d",
        f"{type(error).__name__}: {error}",
        "This is a fault of clip3d, not yours. Run again with CLIP3D_DEBUG=1 to see where, "
        "and report it with what clip3d doctor says.",
    )


def placed(refusal: Clip3DError, source: Path) -> Clip3DError:
    """The refusal, of the file that was at work where it knows of none: there may be many."""
    if refusal.where not in _NO_FILES:
        return refusal
    return type(refusal)(refusal.code, source, refusal.fault, refusal.remedy)


def error_entry(refusal: Clip3DError) -> dict[str, str]:
    """A refusal as JSON documents carry it."""
    return {
        "code": refusal.code,
        "where": refusal.where,
        "fault": refusal.fault,
        "hint": refusal.remedy,
    }


def exit_code(refusals: Sequence[Clip3DError], done: int) -> int:
    """The code of the only input's fault; with several inputs, whether all or some failed."""
    if not refusals:
        return 0
    if done:
        return SOME_FAILED
    return refusals[0].exit_code if len(refusals) == 1 else 1


def interrupted() -> int:
    """The exit code after Ctrl-C, said on stderr."""
    say("interrupted")
    return INTERRUPTED


def close_quietly() -> int:
    """The exit code when nobody reads stdout any more, such as after ``| head``."""
    # The interpreter flushes stdout once more when it ends, and would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _open_closed_streams() -> None:
    """Give a process that was started without some of its streams ones that lead nowhere."""
    # In this order: each takes the lowest free number, which a result must never get.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8")
            setattr(sys, name, stream)


def _debugging() -> bool:
    return bool(os.environ.get("CLIP3D_DEBUG"))


def _usage(fault: ParserFault, arguments: Sequence[str]) -> UsageError:
    context = getattr(fault, "ctx", None)
    where = context.command_path if context is not None else "clip3d"
    remedy = f"See {where} --help."
    if arguments and where == "clip3d" and Path(arguments[0]).suffix:
        remedy = f"That looks like a file. Try {_COMMANDS_OF_A_FILE.format(arguments[0])}."
    return UsageError("E_USAGE", where, fault.format_message().rstrip("."), remedy)


def _file_fault(error: OSError) -> Clip3DError:
    # Reads and writes that fail do not say of which file.
    where = os.fsdecode(error.filename or "a file")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError("E_NO_SPACE", where, "the disk is full", "Free some space.")
    if error.errno == errno.ENAMETOOLONG:
        return UsageError("E_BAD_VALUE", where, "is too long a name for a file", "Choose another.")
    if isinstance(error, PermissionError):
        return InputError("E_PERMISSION", where, "may not be used", "Change its permissions.")
    if isinstance(error, FileNotFoundError):
        return InputError("E_NOT_FOUND", where, "is not there", "Check the path.")
    return SetupError("E_SYSTEM", where, error.strerror or str(error), "Check disk and network.")


def _is_torch_memory(error: Exception) -> bool:
    """Whether torch ran out of memory, told by name so that torch is not imported for it."""
    return type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
