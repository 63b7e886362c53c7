"""All keys of a config with their types, defaults, limits and descriptions, for documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import NODEFAULT, inspect

from clip3d_cli.pipelines.training.config import Tables
from clip3d_cli.training.option_types import LARGEST
from clip3d_cli.training.toml_text import toml_value

_NAMES = {
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.BoolType: "true or false",
    inspect.StrType: "text",
}


@dataclass(frozen=True, slots=True)
class ConfigKey:
    """One key of a config.

    Attributes:
        name: the dotted key, such as ``batch.scenes``.
        type: kind of its value, in words.
        default: default value as TOML.
        constraint: allowed values, in words; empty where all values of the type are allowed.
        description: what the key means.
    """

    name: str
    type: str
    default: str
    constraint: str
    description: str


def config_reference(config_type: type[Tables]) -> list[ConfigKey]:
    """Return every key of a config class, table by table."""
    keys: list[ConfigKey] = []
    for table in _fields(inspect.type_info(config_type)):
        for entry in _fields(table.type):
            kind, description = _unwrap(entry.type)
            default = entry.default if entry.default is not NODEFAULT else entry.default_factory()
            keys.append(
                ConfigKey(
                    f"{table.encode_name}.{entry.encode_name}",
                    _type_in_words(kind),
                    toml_value(default),
                    _constraint_in_words(kind),
                    description,
                )
            )
    return keys


def reference_tables(config_type: type[Tables]) -> str:
    """Return a Markdown table for every table of a config class."""
    lines: list[str] = []
    table = ""
    for key in config_reference(config_type):
        first, _, name = key.name.partition(".")
        if first != table:
            table = first
            lines += [
                "",
                f"`[{table}]`",
                "",
                "| key | type | default | meaning |",
                "|---|---|---|---|",
            ]
        kind = f"{key.type}, {key.constraint}" if key.constraint else key.type
        lines.append(f"| `{name}` | {kind} | `{key.default}` | {key.description} |")
    return "\n".join(lines).lstrip("\n") + "\n"


def _fields(node: inspect.Type) -> Sequence[inspect.Field]:
    kind, _ = _unwrap(node)
    if not isinstance(kind, inspect.DataclassType):
        raise TypeError(f"{kind} is not a dataclass of options")
    return kind.fields


def _unwrap(node: inspect.Type) -> tuple[inspect.Type, str]:
    """Return a type without its metadata, and the description in them."""
    description = ""
    while isinstance(node, inspect.Metadata):
        description = (node.extra_json_schema or {}).get("description", description)
        node = node.type
    return node, description


def _type_in_words(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.VarTupleType):
        item, _ = _unwrap(kind.item_type)
        return "list of numbers" if isinstance(item, inspect.FloatType) else "list of texts"
    if isinstance(kind, inspect.LiteralType):
        return "text" if isinstance(kind.values[0], str) else "whole number"
    return _NAMES[type(kind)]


def _constraint_in_words(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(map(str, kind.values))}"
    if isinstance(kind, inspect.VarTupleType):
        inner = _constraint_in_words(_unwrap(kind.item_type)[0])
        length = "at least one" if kind.min_length else ""
        return ", ".join(text for text in (length, f"each {inner}" if inner else "") if text)
    if isinstance(kind, (inspect.IntType, inspect.FloatType)):
        bounds = (("above", kind.gt), ("at least", kind.ge), ("at most", kind.le))
        shown = [(word, bound) for word, bound in bounds if bound not in (None, LARGEST)]
        return ", ".join(f"{word} {bound:g}" for word, bound in shown)
    return ""
