"""Typed values from JSON and TOML by msgspec, with errors that a person can act on.

A schema is a type: a `msgspec.Struct` (or a dataclass, tuple, list, dict, ...) whose constraints
stand beside its fields, such as ``Annotated[float, msgspec.Meta(gt=0)]``. The callers turn a
`SchemaError` into an `InputError` or a `UsageError`, because only they know the file or option,
the error code and the usual remedy::

    try:
        camera = decode_json(path.read_bytes(), Camera)
    except SchemaError as error:
        raise InputError("E_DATASET", path, str(error), error.remedy or "Export it again.")

A schema may check more in ``__post_init__``. The text of the `ValueError` that it raises continues
a sentence whose subject is the place: "has a focal length that is not above 0".

JSON has neither NaN nor infinity, and numbers beyond the largest float are out of range. TOML has
both: give a float that comes from TOML an upper and a lower limit.

Source of the messages that are translated here: msgspec 0.18 to 0.23, ``src/msgspec/_core.c``.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")

_PATH = re.compile(r"(?P<message>.*?) - at `(?:key` in `)?\$(?P<place>.*)`", re.DOTALL)
_STEP = re.compile(r"\.?(?P<field>[^.\[\]]+)|\[(?P<index>\d*|\.\.\.)\]")
_NOT_FINITE = re.compile(r"-?(?:NaN|Infinity)")
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_COMPARISONS = {">": "above", ">=": "at least", "<": "below", "<=": "at most"}
_MOST_CHARACTERS = 40


class SchemaError(ValueError):
    """A document or value that does not fit its schema.

    Attributes:
        place: path of the value within the document, such as ``cameras[0].lens``; empty for the
            document itself.
        fault: what is wrong with the value: a sentence without its subject and its full stop.
        remedy: a sentence that says what is allowed; empty where the fault says it already.
        is_truncated: whether the document is JSON that ends too early.
    """

    def __init__(
        self, place: str, fault: str, remedy: str = "", *, is_truncated: bool = False
    ) -> None:
        self.place = place
        self.fault = fault
        self.remedy = remedy
        self.is_truncated = is_truncated
        super().__init__(f"{place} {fault}".lstrip())


def decode_json(document: bytes, schema: type[T]) -> T:
    """Decode a JSON document.

    Where an object repeats a key, the last value counts. A byte order mark is skipped.

    Args:
        document: UTF-8 text.
        schema: type of the result.

    Raises:
        SchemaError: the document is not JSON, or does not fit the schema.
    """
    try:
        # msgspec does not check the UTF-8 of values that it skips.
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fault = f"is not JSON: byte {error.start:,} is not UTF-8"
        raise SchemaError("", fault) from error
    try:
        return msgspec.json.decode(text, type=schema)
    except msgspec.ValidationError as error:
        raise _schema_error(error, schema, _or_none(text)) from error
    except msgspec.DecodeError as error:
        raise _not_json(error, text) from error
    except RecursionError as error:
        raise SchemaError("", "is not JSON that can be read: it is nested too deeply") from error


def convert(value: object, schema: type[T], *, strict: bool = True) -> T:
    """Convert a value made of dicts, lists, texts, numbers, booleans and None.

    Args:
        value: for example a table of TOML.
        schema: type of the result.
        strict: if False, texts are converted to numbers and booleans where those are expected.

    Raises:
        SchemaError: the value does not fit the schema.
    """
    try:
        return msgspec.convert(value, schema, strict=strict)
    except msgspec.ValidationError as error:
        raise _schema_error(error, schema, value) from error
    except RecursionError as error:
        raise SchemaError("", "is nested too deeply") from error


def _schema_error(error: msgspec.ValidationError, schema: Any, document: object) -> SchemaError:
    """Translate msgspec's message, which ends in " - at `$.path`" unless the root is at fault."""
    match = _PATH.fullmatch(str(error))
    message, place = (match["message"], match["place"]) if match else (str(error), "")
    steps = [step["field"] or step["index"] for step in _STEP.finditer(place)]
    expected, value = _expected_at(schema, steps), _value_at(document, steps)
    fault, remedy = _fault(message, expected, value)
    return SchemaError(place.removeprefix("."), fault, remedy)


def _fault(message: str, expected: list[inspect.Type], value: object) -> tuple[str, str]:
    """Return fault and remedy of a message.

    Args:
        message: without the path.
        expected: the types that the schema allows at the path, if they could be found.
        value: what stands at the path, or `msgspec.UNSET` if it could not be found.
    """
    known = [field.encode_name for node in expected for field in getattr(node, "fields", ())]
    allowed = [
        choice
        for node in expected
        if isinstance(node, inspect.LiteralType)
        for choice in node.values
    ]
    field = re.search(r"field `(.*)`", message)
    if field and "unknown" in message:
        near = difflib.get_close_matches(field[1], known, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        return f"has the unknown key {field[1]!r}", f"{hint}Known: {', '.join(known)}."
    if field and "missing" in message:
        return f"has no {field[1]!r}", ""
    if allowed and value is not msgspec.UNSET:
        return f"is {_shown(value)}", f"It may be {', '.join(map(str, allowed))}."
    wrong_type = re.fullmatch(r"Expected `(.+)`, got `(.+)`", message)
    if wrong_type:
        return f"is {_named(wrong_type[2])}, not {_named(wrong_type[1])}", ""
    length = re.fullmatch(r"Expected `(array|object|str)` of (?:at least )?length (.+)", message)
    if length:
        return _wrong_length(value, "characters" if length[1] == "str" else "entries", length[2])
    limit = re.fullmatch(r"Expected `(?:int|float)` ([<>]=?) (.+)", message)
    if limit:
        number = "a number" if value is msgspec.UNSET else _shown(value)
        bound = f"{_COMPARISONS[limit[1]]} {limit[2].removesuffix('.0')}"
        return f"is {number}, but must be {bound}", ""
    if message.endswith("out of range"):
        return "is a number out of range", ""
    # Rarer faults keep msgspec's words; those of ``__post_init__`` are sentences already.
    return message.replace("`", "").replace("Expected ", "is not "), ""


def _wrong_length(value: object, unit: str, wanted: str) -> tuple[str, str]:
    wanted = wanted.replace(">= ", "at least ").replace("<= ", "at most ")
    if not isinstance(value, (list, tuple, dict, str)):
        return f"must have {wanted} {unit}", ""
    if not value:
        return "is empty", ""
    return f"has the length {len(value):,}, but must have {wanted} {unit}", ""


def _not_json(error: msgspec.DecodeError, text: str) -> SchemaError:
    """Find the line and the column at which a text stops being JSON.

    The json module counts lines and columns. It also distinguishes a text that ends early from one
    with half of a surrogate pair, for which msgspec has the same message.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        if not text[fault.pos :].strip() or fault.msg.startswith("Unterminated string"):
            early = f"the JSON ends early, in line {fault.lineno}"
            return SchemaError("", early, is_truncated=True)
        where = f"line {fault.lineno}, column {fault.colno}"
        return SchemaError("", f"{where} is not JSON: {fault.msg}")
    except (ValueError, RecursionError) as fault:
        return SchemaError("", f"is not JSON: {fault}")
    # Python's json module accepts NaN, infinity and halves of surrogate pairs.
    position = re.search(r"invalid character \(byte (\d+)\)", str(error))
    if position is None:
        return SchemaError("", "is not JSON: a text contains half of a surrogate pair")
    before = text.encode()[: int(position[1])].decode(errors="ignore")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    reason = "NaN and infinity are not numbers of JSON"
    return SchemaError("", f"line {line}, column {column} is not JSON: {reason}")


def _expected_at(schema: Any, steps: list[str]) -> list[inspect.Type]:
    """Return the types that a schema allows at a path; none where the path cannot be followed."""
    nodes = _alternatives(inspect.type_info(schema))
    for step in steps:
        nodes = [inner for node in nodes for inner in _inner_types(node, step)]
    return nodes


def _inner_types(node: inspect.Type, step: str) -> list[inspect.Type]:
    """Return the types of the entries or of the field that a step of a path leads to."""
    for field in getattr(node, "fields", ()):
        if field.encode_name == step:
            return _alternatives(field.type)
    if isinstance(node, inspect.TupleType):
        inside = step.isdecimal() and int(step) < len(node.item_types)
        return _alternatives(node.item_types[int(step)]) if inside else []
    if isinstance(node, inspect.DictType):
        return _alternatives(node.value_type)
    item = getattr(node, "item_type", None)
    return [] if item is None else _alternatives(item)


def _alternatives(node: inspect.Type) -> list[inspect.Type]:
    if isinstance(node, inspect.Metadata):
        return _alternatives(node.type)
    if isinstance(node, inspect.UnionType):
        return [inner for each in node.types for inner in _alternatives(each)]
    return [node]


def _value_at(document: object, steps: list[str]) -> object:
    """Return what stands at a path, or `msgspec.UNSET`: keys of dicts are not part of a path."""
    for step in steps:
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, (list, tuple)) and step.isdecimal():
            document = document[int(step)]
        else:
            return msgspec.UNSET
    return document


def _or_none(text: str) -> object:
    """Decode the whole document without a schema, if that is possible."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.UNSET


def _named(types: str) -> str:
    """Return words for msgspec's names of types, such as ``float | null``."""
    parts = types.split(" | ")
    wanted = [part for part in parts if part != "null"] or parts
    return " or ".join(dict.fromkeys(_NAMES.get(part, part) for part in wanted))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
