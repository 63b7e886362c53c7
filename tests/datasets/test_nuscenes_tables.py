from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from clip3d_cli.datasets.nuscenes import tables
from clip3d_cli.datasets.nuscenes.tables import table_rows
from clip3d_cli.errors import InputError

ROWS = [
    {"token": "a}],[{", "escaped": 'quote " and \\ and }', "list": [1, [2, {"x": []}]]},
    {"token": "é 点 \U0001f6b2", "none": None, "number": -1.5e-3},
    {},
    {"token": "b" * 200},
]


@pytest.mark.parametrize("indent", [None, 0, 4])
@pytest.mark.parametrize("chunk", [300, 301, 350, 4 << 20])
def test_rows_are_those_of_the_whole_file(
    indent: int | None, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.json"
    path.write_text(json.dumps(ROWS * 5, indent=indent, ensure_ascii=False), encoding="utf-8")
    monkeypatch.setattr(tables, "_CHUNK", chunk)
    assert list(table_rows(path)) == ROWS * 5


def test_an_empty_list_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(" [ ]\n")
    assert list(table_rows(path)) == []


def test_a_table_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = json.dumps(ROWS, indent=0).encode()
    path = tmp_path / "table.json"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as refusal:
            list(table_rows(path))
        assert refusal.value.code in ("E_TRUNCATED", "E_DATASET")


@pytest.mark.parametrize(
    ("text", "code", "fault"),
    [
        (b"", "E_DATASET", "is empty"),
        (b'{"token": "a"}', "E_DATASET", "is not a list"),
        (b'[{"token": "a"}, 3]', "E_DATASET", "row 1 is not an object"),
        (b'[{"token": nope}]', "E_DATASET", "row 0 is not JSON"),
        (b'[{"token": "a"}, {"token": ', "E_TRUNCATED", "ends within row 1"),
        (b'[{"token": "a"}, ', "E_TRUNCATED", "ends within row 1"),
        (b'[{"token": "\xff"}]', "E_DATASET", "is not JSON"),
        (b'[{"token": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "E_DATASET", "is not JSON"),
        (b"<!DOCTYPE html><html></html>", "E_DATASET", "is not a list"),
    ],
)
def test_what_is_no_table_is_refused(text: bytes, code: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_bytes(text)
    with pytest.raises(InputError) as refusal:
        list(table_rows(path))
    assert (refusal.value.code, refusal.value.where) == (code, str(path))
    assert fault in refusal.value.fault
    assert refusal.value.remedy


def test_a_broken_row_stops_a_large_table_early(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO("[nope, " + "{}, " * 50_000 + "{}]")
    monkeypatch.setattr(tables, "_CHUNK", 100)
    with pytest.raises(InputError, match="row 0 is not JSON"):
        list(tables._rows(Path("table.json"), file))
    assert file.tell() <= 300


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        list(table_rows(tmp_path / "sample.json"))
    assert refusal.value.code == "E_NOT_FOUND"
