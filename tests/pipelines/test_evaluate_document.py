"""The document of an evaluation: its schema, and its page in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from report_sample import eval_document

from clip3d_cli.pipelines.evaluate.document import (
    EvaluationDocument,
    read_document,
    write_document,
)
from clip3d_cli.schema import convert

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "evaluate.md"


def test_the_page_describes_every_field_and_no_other() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## The document")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    described = [name for row in rows for name in re.findall("`([^`]+)`", row)]
    fields = [field.encode_name for field in msgspec.structs.fields(EvaluationDocument)]
    assert sorted(described) == sorted(["schema", *fields])


def test_a_document_is_written_and_read(tmp_path: Path) -> None:
    document = convert(eval_document(), EvaluationDocument)
    write_document(document, tmp_path / "e.json")
    assert read_document(tmp_path / "e.json") == document
    assert "submission" not in document.as_json()
    assert document.as_json()["schema"] == "clip3d.eval/1"
    send = msgspec.structs.replace(document, submission="send")
    write_document(send, tmp_path / "e.json")
    assert read_document(tmp_path / "e.json").submission == "send"


def test_a_file_name_that_is_not_text_is_escaped(tmp_path: Path) -> None:
    document = convert(eval_document(), EvaluationDocument)
    document = msgspec.structs.replace(document, root="sc\udcff")
    write_document(document, tmp_path / "e.json")
    assert r'"sc\udcff"' in (tmp_path / "e.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("share", [1.5, -0.5, float("nan")])
def test_shares_are_between_0_and_1(share: float) -> None:
    fields = eval_document()
    fields["scores"]["miou"] = share
    with pytest.raises(ValueError, match=r"scores.miou is"):
        convert(fields, EvaluationDocument)
