"""Config values from presets, TOML files, ``--set`` and options, each before the next.

Every value is checked against the type and the limits beside its field (see `option_types`), at
the moment it is read, so that an error names the file or option that the value comes from.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from msgspec import Meta

from clip3d_cli import registry, schema
from clip3d_cli.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")

_OPTIONS = "the options"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSources:
    """What a command line says about a config.

    Attributes:
        file: the file given as ``--config``; None without one.
        tables: the tables of that file.
        settings: ``table.key=value``, as given to ``--set``.
        options: values of single options, such as ``--device``, by table and key.
    """

    file: Path | None = None
    tables: Mapping[str, Any] = field(default_factory=dict)
    settings: Sequence[str] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        file: Path | None,
        settings: Sequence[str] = (),
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> ConfigSources:
        """Return the sources, with the file read.

        Raises:
            UsageError: E_CONFIG: the file is missing, or is not TOML.
        """
        tables = {} if file is None else read_config(file)
        return cls(file=file, tables=tables, settings=settings, options=options or {})

    def sets(self, key: str) -> bool:
        """Return whether any source gives a value to a dotted key."""
        table, _, name = key.partition(".")
        given = self.tables.get(table)
        return (
            (isinstance(given, Mapping) and name in given)
            or name in self.options.get(table, {})
            or any(setting.partition("=")[0].strip() == key for setting in self.settings)
        )

    def apply(self, config: T) -> T:
        """Return a config with the values of the file, then ``--set``, then the options.

        Args:
            config: defaults, the preset of a data set, or the config of an earlier run.

        Raises:
            UsageError: E_CONFIG: an unknown key, or a value that its key does not allow.
        """
        config = with_tables(config, self.tables, str(self.file))
        config = with_settings(config, self.settings)
        return with_tables(config, self.options, _OPTIONS)


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
    path = registry.package_folder("datasets", dataset) / f"{command}.toml"
    if not path.is_file():
        return config
    tables = read_config(path)
    if like := tables.pop("like", None):
        config = with_preset(config, like, command)
    return with_tables(config, tables, str(path))


def read_config(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, unchecked.

    Raises:
        UsageError: E_CONFIG: the file is missing, or is not TOML.
    """
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _config_error(
            str(path), f"cannot be read: {error}", "Give a file in TOML format."
        ) from error
    return tables


def with_settings(config: T, settings: Sequence[str]) -> T:
    """Return the config with ``table.key=value`` settings applied, in their order.

    Values are written as in TOML, but text needs no quotes and a list no brackets:
    ``words.classes=car,tree``.

    Raises:
        UsageError: E_CONFIG: a setting of another form, an unknown key, or a value that its key
            does not allow.
    """
    for setting in settings:
        path, equals, text = setting.partition("=")
        table, dot, key = path.strip().partition(".")
        if not equals or not dot:
            raise _config_error(
                "--set", f"{setting!r} is not table.key=value", "Write it as in loss.start=0.5."
            )
        config = with_tables(config, {table: {key: _Unquoted(text.strip())}}, "--set")
    return config


def with_tables(config: T, tables: Mapping[str, Any], source: str) -> T:
    """Return the config with the values of some tables replaced.

    Args:
        config: dataclass whose fields are dataclasses of options.
        tables: values by table and key.
        source: where they come from, for error messages.

    Raises:
        UsageError: E_CONFIG: an unknown key, with the nearest known one, or a value that its key
            does not allow.
    """
    if not is_dataclass(config) or isinstance(config, type):
        raise TypeError("only a dataclass can be configured")
    known = [entry.name for entry in fields(config)]
    changed: dict[str, Any] = {}
    for table, values in tables.items():
        _require_key(table, known, source)
        if not isinstance(values, Mapping):
            fault, remedy = f"{table} is a table, not a value", f"Write [{table}], then its keys."
            raise _config_error(source, fault, remedy)
        changed[table] = _with_values(getattr(config, table), values, f"{source}: {table}")
    return replace(config, **changed)


def _with_values(options: Any, values: Mapping[str, Any], where: str) -> Any:
    """Return one table of options with some values replaced, each converted to its key's type."""
    # With the limits and the description of every key.
    types = get_type_hints(type(options), include_extras=True)
    changed: dict[str, Any] = {}
    for key, value in values.items():
        _require_key(key, list(types), where)
        changed[key] = _converted(value, types[key], f"{where}.{key}")
    return replace(options, **changed)


def _require_key(key: str, known: Sequence[str], where: str) -> None:
    if key not in known:
        remedy = registry.unknown_name_error(where, key, known).remedy
        raise _config_error(where, f"there is no key {key!r}", remedy)


def _converted(value: object, annotated: Any, where: str) -> object:
    """Return a value as its annotated type.

    Raises:
        UsageError: E_CONFIG: the type does not allow the value.
    """
    if isinstance(value, _Unquoted):
        value = value.parse(annotated)
    plain = _plain(annotated)
    if get_origin(plain) is tuple and not isinstance(value, (list, tuple)):
        value = [value]
    try:
        return schema.convert(value, annotated)
    except schema.SchemaError as error:
        fault, remedy = error.fault, error.remedy
        choices = _choices(plain)
        if choices and value != []:
            fault, remedy = _not_a_choice(value, choices)
        if not remedy:
            remedy = f"Its meaning: {_description(annotated)}."
        raise _config_error(f"{where}{error.place}", fault, remedy) from error


def _not_a_choice(value: object, choices: Sequence[object]) -> tuple[str, str]:
    """Return fault and remedy of a value, or of the first entry of a list, that is no choice."""
    entries = value if isinstance(value, list) and isinstance(choices[0], str) else [value]
    wrong = next((entry for entry in entries if entry not in choices), value)
    near = difflib.get_close_matches(str(wrong), [str(choice) for choice in choices], n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    return f"{wrong!r} is none of its values", f"{hint}One of: {', '.join(map(str, choices))}."


def _choices(plain: Any) -> tuple[Any, ...]:
    """Return the allowed values of a `Literal`, or of the entries of a tuple of them."""
    item = _plain(get_args(plain)[0]) if get_origin(plain) is tuple else plain
    return get_args(item) if get_origin(item) is Literal else ()


def _description(annotated: Any) -> str:
    """Return the description beside a field."""
    texts = [entry.description for entry in get_args(annotated)[1:] if isinstance(entry, Meta)]
    return next(text for text in texts if text)


def _plain(annotated: Any) -> Any:
    """Return a type without its limits and description."""
    return get_args(annotated)[0] if get_origin(annotated) is Annotated else annotated


class _Unquoted(str):
    """The text behind ``=`` of a setting: a TOML value, or text without quotes."""

    def parse(self, annotated: Any) -> object:
        """Return the value that the text stands for, given the type of its key."""
        plain = _plain(annotated)
        if get_origin(plain) is tuple and not self.startswith("["):
            parts = (_Unquoted(part.strip()) for part in self.split(","))
            return [part.parse(get_args(plain)[0]) for part in parts if part]
        try:
            value: object = tomllib.loads(f"value = {self}")["value"]
        except (ValueError, RecursionError):
            return str(self)
        # A folder may be called 2021, or true.
        return str(self) if plain is str and not isinstance(value, str) else value


def _config_error(where: str, fault: str, remedy: str) -> UsageError:
    return UsageError("E_CONFIG", where, fault, remedy)
