"""Configurations out of TOML files and settings: each key known, each value of its kind."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from clip3d_cli import registry
from clip3d_cli.pipelines.training.config_values import Unquoted, checked, refused, require_sense

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def with_preset(config: T, dataset: str, command: str) -> T:
    """Return the config with the preset of a data set applied, if the data set has one.

    The preset is the file ``<command>.toml`` in the package of the data set. A file that begins
    with ``like = "other"`` is applied on top of the preset of that data set.

    Args:
        config: defaults.
        dataset: a name of kind ``datasets`` in the registry.
        command: ``pretrain`` or ``finetune``.

    Raises:
        UsageError: E_UNKNOWN_NAME: there is no such data set; E_CONFIG: the file is invalid.
    """
    path = registry.part_folder("datasets", dataset) / f"{command}.toml"
    if not path.is_file():
        return config
    table = read_config(path)
    if like := table.pop("like", None):
        config = with_preset(config, like, command)
    return merged(config, table, str(path))


def read_config(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        UsageError: E_CONFIG: it is not there, or not TOML.
    """
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise refused(str(path), f"cannot be read: {error}", "It must be TOML.") from error
    return table


def with_settings(config: T, settings: Sequence[str]) -> T:
    """The configuration with ``table.key=value`` settings, values as TOML writes them.

    Text may stand without quotes, and several values with commas alone: ``words.classes=car,tree``.

    Raises:
        UsageError: E_CONFIG: no such key, or not a value of its kind.
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        table, dot, key = path.strip().partition(".")
        if not equals or not dot:
            raise refused("--set", f"{setting!r} is not table.key=value", "Try loss.start=0.5.")
        config = merged(config, {table: {key: Unquoted(text.strip())}}, "--set")
    return config


def merged(config: T, table: Mapping[str, Any], where: str) -> T:
    """The configuration with what a table says otherwise.

    Raises:
        UsageError: E_CONFIG: an unknown key, with the nearest known one, or a value of another
            kind than that of its key.
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError("only a dataclass can be configured")
    hints = get_type_hints(type(config))
    changed: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            known = [entry.name for entry in fields(config)]
            unknown = registry.unknown_name(where, key, known)
            raise refused(where, f"there is no key {key!r}", unknown.remedy)
        current = getattr(config, key)
        if is_dataclass(current):
            if not isinstance(value, Mapping):
                raise refused(where, f"{key} is a table", f"Write [{key}], then its keys.")
            changed[key] = merged(current, value, f"{where}: [{key}]")
        else:
            changed[key] = checked(value, hints[key], f"{where}: {key}")
            require_sense(key, changed[key], f"{where}: {key}")
    return replace(config, **changed)
