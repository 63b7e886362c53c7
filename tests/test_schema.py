"""Values are decoded as their schema says, and every fault is named with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from clip3d_cli.schema import SchemaError, convert, decode_json

Row = Annotated[list[float], Meta(min_length=4, max_length=4)]


class Camera(Struct, forbid_unknown_fields=True):
    image: Annotated[str, Meta(min_length=1)] = "a.png"
    focus: Annotated[float, Meta(gt=0)] | None = None
    lens: Literal["pinhole", "fisheye"] = "pinhole"
    rows: Annotated[list[Row], Meta(min_length=3, max_length=4)] | None = None
    size: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.size[0] < self.size[1]:
            raise ValueError("is higher than wide")


class Document(Struct):
    cameras: list[Camera]
    by_name: dict[str, Camera] = {}
    anything: Any = None


def refusal(document: str | bytes) -> SchemaError:
    raw = document.encode() if isinstance(document, str) else document
    with pytest.raises(SchemaError) as caught:
        decode_json(raw, Document)
    return caught.value


def camera(fields: str) -> str:
    return '{"cameras": [{}, {' + fields + "}]}"


def test_a_document_becomes_its_schema() -> None:
    document = decode_json(b'\xef\xbb\xbf{"cameras": [{"focus": 2, "tool": null}]}', dict)
    assert document == {"cameras": [{"focus": 2, "tool": None}]}
    typed = decode_json(b'{"cameras": [{"focus": 2}], "tool": 1}', Document)
    assert typed.cameras == [Camera(focus=2.0)]
    assert isinstance(typed.cameras[0].focus, float)


@pytest.mark.parametrize(
    ("fields", "place", "fault", "remedy"),
    [
        ('"focus": -1', "cameras[1].focus", "is -1, but must be above 0", ""),
        ('"focus": "1"', "cameras[1].focus", "is a text, not a number", ""),
        ('"focus": true', "cameras[1].focus", "is true or false, not a number", ""),
        ('"focus": 1e999', "cameras[1].focus", "is a number out of range", ""),
        (f'"focus": 1{"0" * 400}', "cameras[1].focus", "is a number out of range", ""),
        ('"lens": "fish"', "cameras[1].lens", "is 'fish'", "It may be fisheye, pinhole."),
        ('"lens": 3', "cameras[1].lens", "is 3", "It may be fisheye, pinhole."),
        (
            '"imge": ""',
            "cameras[1]",
            "has the unknown key 'imge'",
            "Did you mean image? Known: image, focus, lens, rows, size.",
        ),
        ('"image": ""', "cameras[1].image", "is empty", ""),
        (
            '"rows": [[1, 2, 3, 4], [1, 2, 3]]',
            "cameras[1].rows[1]",
            "has the length 3, but must have at least 4 entries",
            "",
        ),
        (
            '"rows": [[1, 2, 3, 4]]',
            "cameras[1].rows",
            "has the length 1, but must have at least 3 entries",
            "",
        ),
        ('"size": [1]', "cameras[1].size", "has the length 1, but must have 2 entries", ""),
        ('"size": [1, 2]', "cameras[1]", "is higher than wide", ""),
    ],
)
def test_a_value_that_does_not_fit_is_named(
    fields: str, place: str, fault: str, remedy: str
) -> None:
    error = refusal(camera(fields))
    assert (error.place, error.fault, error.remedy) == (place, fault, remedy)
    assert str(error) == f"{place} {fault}"
    assert not error.is_truncated


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("{}", "has no 'cameras'"),
        ("[]", "is a list, not an object"),
        ('{"cameras": {}}', "cameras is an object, not a list"),
        ('{"cameras": [], "by_name": {"a.b": {"image": 3}}}', "by_name[...].image is a whole numb"),
        ("{'cameras': []}", "line 1, column 2 is not JSON: Expecting property name"),
        ('{"cameras": []}\n]', "line 2, column 1 is not JSON: Extra data"),
        ('{"cameras": [],}', "line 1, column 16 is not JSON"),
        ('{"cameras": [], "anything": NaN}', "line 1, column 29 is not JSON: NaN and infinity"),
        ('{"cameras": [],\n"é": -Infinity}', "line 2, column 7 is not JSON: NaN and infinity"),
        (f'{{"cameras": [], "anything": 1{"0" * 5000}}}', "anything is a number out of range"),
        (
            '{"cameras": [], "anything": "\\ud800"}',
            "is not JSON: a text contains half of a surrogate",
        ),
        (b'{"cameras": [], "skipped": "\xff"}', "is not JSON: byte 28 is not UTF-8"),
        ('{"cameras": [], "anything": ' + "[" * 200_000, "nested too deeply"),
        ('{"cameras": [], "skipped": ' + '{"a":' * 200_000, "nested too deeply"),
        ('{"cameras": ' + "[" * 200_000, "cameras[0] is a list, not an object"),
    ],
)
def test_a_broken_document_is_refused(document: str | bytes, fault: str) -> None:
    error = refusal(document)
    assert fault in str(error)
    assert "\n" not in str(error)
    assert not error.is_truncated


@pytest.mark.parametrize("length", range(len('{"cameras": [{"image": "a"}]}')))
def test_a_document_that_ends_early_is_told_from_a_broken_one(length: int) -> None:
    assert refusal('{"cameras": [{"image": "a"}]}'[:length]).is_truncated


@dataclass(frozen=True)
class Options:
    layers: Literal[14, 18] = 14
    rate: Annotated[float, Meta(ge=0, le=1)] = 0.5


@pytest.mark.parametrize(
    ("table", "fault", "remedy"),
    [
        ({"layers": 15}, "layers is 15", "It may be 14, 18."),
        ({"layers": "14"}, "layers is '14'", "It may be 14, 18."),
        ({"rate": float("nan")}, "rate is nan, but must be at least 0", ""),
        ({"rate": float("inf")}, "rate is inf, but must be at most 1", ""),
        ({"rate": 10**400}, "rate is a number out of range", ""),
        ({1: 2}, "is not str", ""),
    ],
)
def test_tables_are_converted_or_refused(table: dict[Any, Any], fault: str, remedy: str) -> None:
    with pytest.raises(SchemaError) as caught:
        convert(table, Options)
    assert (str(caught.value), caught.value.remedy) == (fault, remedy)


def test_texts_are_converted_only_where_that_is_allowed() -> None:
    assert convert({"layers": "18", "rate": "1"}, Options, strict=False) == Options(18, 1.0)
    with pytest.raises(SchemaError, match="rate is a text, not a number"):
        convert({"rate": "1"}, Options)
