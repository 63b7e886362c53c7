"""All keys of a config with types, defaults, limits and descriptions, for documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from msgspec import NODEFAULT, inspect

from clip3d_cli.pipelines.training.config import TrainingConfig
from clip3d_cli.training.option_types import LARGEST
from clip3d_cli.training.toml_text import toml_value

_WIDTH = 100
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

    @property
    def values(self) -> str:
        """Type and allowed values, in words."""
        return f"{self.type}, {self.constraint}" if self.constraint else self.type


def config_reference(config_type: type[TrainingConfig]) -> list[ConfigKey]:
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


def commented_toml(config: TrainingConfig) -> str:
    """Return a config as TOML, with the values and the description of every key above it."""
    key_of_name = {key.name: key for key in config_reference(type(config))}
    lines: list[str] = []
    for table, values in config.tables().items():
        lines += ["", f"[{table}]"]
        for name, value in values.items():
            key = key_of_name[f"{table}.{name}"]
            lines += _comment(f"{key.description} ({key.values})")
            lines.append(f"{name} = {toml_value(value)}")
    return "\n".join(lines).lstrip("\n") + "\n"


def _comment(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


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
