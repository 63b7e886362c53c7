from __future__ import annotations

from clip3d_cli.labelling.warnings import LabelWarning


def test_a_warning_is_one_line_with_place_fault_and_remedy() -> None:
    warning = LabelWarning("W_FILE", "a.las", "it has no unit", "Name it with --units.")
    assert str(warning) == "warning[W_FILE]: a.las: it has no unit. Name it with --units."
    assert str(LabelWarning("W_FILE", "a.las", "it is odd")) == "warning[W_FILE]: a.las: it is odd"


def test_the_entry_in_documents_has_the_keys_of_errors() -> None:
    warning = LabelWarning("W_FILE", "a.las", "it has no unit", "Name it with --units.")
    assert warning.as_json() == {
        "code": "W_FILE",
        "where": "a.las",
        "text": "it has no unit",
        "hint": "Name it with --units.",
    }
