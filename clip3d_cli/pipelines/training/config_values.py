"""What may stand behind a key of a configuration."""

from __future__ import annotations

import sys
from typing import Any, Literal, get_args, get_origin

from clip3d_cli import registry
from clip3d_cli.encoders.input_channels import CHANNELS
from clip3d_cli.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TOO_MANY = 10**12
# By the names of keys, which no two tables share.
_ABOVE_ZERO = frozenset(
    {
        "width", "voxel_sizes_m", "scenes", "sweeps", "pairs", "temperature",
        "attention_temperature", "epochs", "batches_per_step", "save_every", "keep_last",
        "fraction", "head_factor",
    }
)  # fmt: skip
_SHARES = frozenset({"least_share", "fraction", "momentum", "dampening", "average_decay", "warmup"})
_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


class Unquoted(str):
    """What stands behind ``=`` on a command line: a value of TOML, or text as it is."""

    def read_as(self, kind: Any) -> object:
        """The value, for a key of that kind."""
        if get_origin(kind) is tuple and not self.startswith("["):
            parts = (Unquoted(part.strip()) for part in self.split(","))
            return [part.read_as(get_args(kind)[0]) for part in parts if part]
        try:
            value: object = tomllib.loads(f"value = {self}")["value"]
        except (ValueError, RecursionError):
            return str(self)
        # A folder may be called 2021, or true.
        return str(self) if kind is str and not isinstance(value, str) else value


def checked(value: object, kind: Any, where: str) -> object:
    """The value of a key of that kind: a `Literal`, a tuple of any length, or a plain type.

    Raises:
        UsageError: E_CONFIG: it is of another kind, or below 0.
    """
    origin = get_origin(kind)
    if isinstance(value, Unquoted):
        value = value.read_as(kind)
    if origin is Literal:
        for known in get_args(kind):
            if type(value) is type(known) and value == known:
                return known
        remedy = f"One of: {', '.join(map(str, get_args(kind)))}."
        raise refused(where, f"{value!r} is none of its values", remedy)
    if origin is tuple:
        values = value if isinstance(value, (list, tuple)) else [value]
        return tuple(checked(each, get_args(kind)[0], where) for each in values)
    if type(value) is not kind and (kind, type(value)) != (float, int):
        raise refused(where, f"{value!r} is not {_KINDS[kind]}", "See what --dry-run prints.")
    if isinstance(value, (int, float)) and not 0 <= value < _TOO_MANY:
        raise refused(where, f"{value} is out of range", "It is a number from 0 on.")
    return kind(value)


def require_sense(key: str, value: Any, where: str) -> None:
    """Refuse now what would otherwise end a run after hours of the teacher's work.

    Raises:
        UsageError: E_CONFIG: the key of that name cannot have this value.
    """
    values = value if isinstance(value, tuple) else (value,)
    if key in _ABOVE_ZERO and not (values and all(each > 0 for each in values)):
        raise refused(where, f"{value} is not above 0", "Give it a number above 0.")
    if key == "voxels_m" and not all(each > 0 for each in values):
        raise refused(where, f"{value} is not above 0", "Give it edges above 0, or none.")
    if key in _SHARES and value > 1:
        raise refused(where, f"{value} is above 1", "It is a share, from 0 to 1.")
    if key == "inputs":
        for name in values:
            if name not in CHANNELS:
                remedy = registry.unknown_name(where, name, CHANNELS).remedy
                raise refused(where, f"no channel is called {name!r}", remedy)
        if not values:
            raise refused(where, "names no channel", f"There is: {', '.join(CHANNELS)}.")


def refused(where: str, fault: str, remedy: str) -> UsageError:
    """What cannot stand in a configuration."""
    return UsageError("E_CONFIG", where, fault, remedy)
