"""Command-line options that several commands share, and how their values are checked."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from clip3d_cli import registry
from clip3d_cli.errors import UsageError

if TYPE_CHECKING:
    from clip3d_cli.formats.format import ReadOptions

INPUT = "Input"
MODEL = "Model"
OUTPUT = "Output"
RESULT = "Result"
SCENES = "Scenes"
WORDS = "Words"

_WIDEST_NAME = 36
_MAX_NUMBER = 1e18
_BYTES_OF_UNIT = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Precision(str, Enum):
    """How exactly the network's matrix products are computed."""

    auto = "auto"
    exact = "exact"
    high = "high"
    fast = "fast"


DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help=f"{', '.join(registry.shipped_names('datasets'))}, or the data set of an installed "
        "package. folder is for your own scenes (see docs/guides/own-data.md for their layout).",
        rich_help_panel=SCENES,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Root folder of the data set.", rich_help_panel=SCENES),
]
Templates = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help='Sentences around each word, such as "a {} in a scene": none, photo, scene, '
        "clip2scene, or a file with one sentence per line. Their vectors are averaged. "
        "Default: photo.",
        rich_help_panel=WORDS,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Weights of the point network (a safetensors file). Default: the weights shipped "
        "with clip3d.",
        rich_help_panel=MODEL,
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Text encoder: mini, or openclip[:MODEL/TAG]. It must share the feature space of the "
        "weights. Default: the one that the weights name.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda|cuda:N|mps", help="Device to run on.", rich_help_panel=MODEL
    ),
]
PrecisionChoice = Annotated[
    Precision,
    typer.Option(
        help="Precision of the network. exact: float32; high: relative errors below 5e-5 (1e-3 on "
        "a GPU); fast: half precision where the processor supports it.",
        rich_help_panel=MODEL,
    ),
]
Backend = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Sparse-convolution backend: auto, native, triton, torchsparse, spconv or torch.",
        rich_help_panel=MODEL,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="x,y,z,...",
        help="Names of the columns of .bin and .npy files that do not describe themselves.",
        rich_help_panel=INPUT,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on stdout.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Print errors only.", rich_help_panel=OUTPUT)
]
Verbose = Annotated[
    bool,
    typer.Option(
        "-v",
        "--verbose",
        help="Also print which models and settings are used, and why.",
        rich_help_panel=OUTPUT,
    ),
]
NoProgress = Annotated[
    bool, typer.Option("--no-progress", help="Show no progress bars.", rich_help_panel=OUTPUT)
]


class GroupedCommand(TyperCommand):
    """A command whose plain-text help lists options under the titles of their panels."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section per panel, in order of appearance."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                name, text = record
                is_argument = param.param_type_name == "argument"
                title = "Arguments" if is_argument else getattr(param, "rich_help_panel", None)
                # Click appends the type of an argument, which is always a path or a text.
                name = name.partition(" <")[0] if is_argument else name
                sections.setdefault(title or "Options", []).append((name, text))
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records, col_max=_WIDEST_NAME)


def read_options(
    columns: str | None, *, allow_truncated: bool, max_memory: str | None = None
) -> ReadOptions:
    """Return how files are read.

    Args:
        columns: column names separated by commas; None if not given.
        allow_truncated: read the points that are there when a file ends early.
        max_memory: such as ``8GB`` or ``50%``; None if not given.

    Raises:
        UsageError: E_COLUMNS: the columns lack x, y or z, or repeat one; E_BAD_VALUE: the memory
            is not a size.
    """
    from clip3d_cli.formats.format import ReadOptions, memory_budget

    names = None if columns is None else tuple(name.strip() for name in columns.split(","))
    if names is not None and not _are_columns(names):
        raise UsageError(
            "E_COLUMNS",
            "--columns",
            f"{columns!r} does not name x, y and z once each",
            "Name every column in file order, such as x,y,z,intensity,ring.",
        )
    memory = memory_budget() if max_memory is None else memory_bytes(max_memory)
    return ReadOptions(names, allow_truncated, memory)


def memory_bytes(text: str) -> int:
    """Return the bytes of a size: ``8GB``, ``500M``, or ``50%`` of the default limit.

    Raises:
        UsageError: E_BAD_VALUE: it is not a size.
    """
    from clip3d_cli.formats.format import memory_budget

    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:(%)|([kmgt]?)(?:i?b)?)", text.strip().lower())
    number = float(match[1]) if match else 0.0
    if match is None or not 0 < number <= _MAX_NUMBER:
        raise UsageError(
            "E_BAD_VALUE",
            "--max-memory",
            f"{text!r} is not a size",
            "Use 8GB or 50%, for example.",
        )
    if match[2]:
        return int(memory_budget() * number / 100)
    return int(number * _BYTES_OF_UNIT[match[3]])


def length_m(option: str, metres: float | None, minimum_m: float) -> float | None:
    """Check a length in metres; None if it was not given.

    Raises:
        UsageError: E_BAD_VALUE: it is not finite, or below the minimum.
    """
    if metres is not None and not minimum_m <= metres < float("inf"):
        raise UsageError(
            "E_BAD_VALUE", option, f"{metres} is not a valid length", f"Use at least {minimum_m} m."
        )
    return metres


def _are_columns(names: tuple[str, ...]) -> bool:
    return {"x", "y", "z"} <= set(names) and len(set(names)) == len(names) and "" not in names
