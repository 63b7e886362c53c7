from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_sample import COUNTS, eval_document, step_line, write_eval, write_run

from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.pipelines.evaluate.document import read_document
from clip3d_cli.pipelines.report.records import read_metrics, read_records


def test_a_run_is_read_back(tmp_path: Path) -> None:
    (run,) = read_records([write_run(tmp_path / "a", steps=3, level=6.0)]).runs
    assert (run.name, run.steps, run.planned_steps) == ("a", 3, 60)
    assert run.config["optimizer.learning_rate"] == 0.01
    np.testing.assert_allclose(run.series["loss"].values, [6, 3, 2])
    assert run.series["loss"].steps.tolist() == [1, 2, 3]
    assert run.seconds == 1.5
    assert (run.starts[0].clip3d, run.starts[0].torch) == ("0.1.0", None)
    assert (run.sha256, run.text_encoder) == ("", "")


def test_the_clock_of_a_resumed_run_starts_anew(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", steps=2)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "seconds": 0.7}\n{"step": 4, "seconds": 0.9}\n')
    (run,) = read_records([folder]).runs
    assert run.seconds == pytest.approx(1.0 + 0.9)


def test_a_line_still_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = json.dumps(step_line(1)) + "\n"
    for end in ('{"step": 2, "lo', json.dumps(step_line(2))[:-1], "\x00\x00"):
        path.write_text(whole + end)
        assert read_metrics(path)["loss"].steps.tolist() == [1]


def test_numbers_that_are_none_are_gaps(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": null}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": 4}\n')
    assert read_metrics(path)["loss"].steps.tolist() == [3]


@pytest.mark.parametrize(
    "line", ['{"step": 2, "lo', "[]", '{"loss": 1}', '{"step": 2, "loss": "x"}', '{"step": null}']
)
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{json.dumps(step_line(1))}\n{line}\n{json.dumps(step_line(3))}\n")
    with pytest.raises(InputError, match=r"metrics.jsonl: line 2 does not hold a step and numbers"):
        read_metrics(path)


def test_a_run_that_has_not_begun_its_steps(tmp_path: Path) -> None:
    (run,) = read_records([write_run(tmp_path / "a", steps=0)]).runs
    assert (run.steps, run.seconds, run.series) == (0, 0.0, {})


def test_names_tell_paths_apart(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name) for name in ("x/a", "y/a", "y/b")]
    write_eval(tmp_path / "y/b/eval.val.json")
    paths.append(write_eval(tmp_path / "z/teacher.json"))
    records = read_records(paths)
    assert [run.name for run in records.runs] == ["x/a", "y/a", "b"]
    assert [each.name for each in records.evaluations] == ["b · val", "teacher"]


def test_an_evaluation_is_read_once(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a")
    document = write_eval(run / "eval.val.text.json")
    (each,) = read_records([run, document]).evaluations
    assert each.name == "a · val · text"


def test_an_evaluation_is_read_back(tmp_path: Path) -> None:
    scores = {"novel": ["tree"], "base": 0.5, "novel_miou": 0.25, "hiou": None}
    path = write_eval(tmp_path / "e.json", eval_document(changes={"harmonic": scores}))
    document = read_document(path)
    assert json.loads(json.dumps(document.as_json())) == json.loads(path.read_text())
    assert document.confusion_matrix.counts.tolist() == [list(row) for row in COUNTS]
    assert (document.points, document.scenes, document.head) == (15, 2, "text")
    assert document.weights.sha256 == "5e" * 32
    assert document.metric.name.startswith("mIoU over present classes")
    assert document.scores.miou == pytest.approx((6 / 10 + 5 / 7) / 2)
    assert document.foreground is not None
    assert document.foreground.miou == pytest.approx(6 / 10)
    assert document.harmonic is not None
    assert (document.harmonic.novel_miou, document.harmonic.hiou) == (0.25, None)
    assert document.panoptic is None
    assert [entry.iou is None for entry in document.classes] == [False, False, True]
    assert [entry.color for entry in document.classes] == [
        (0, 100, 200), (40, 100, 200), (80, 100, 200),
    ]  # fmt: skip
    assert (document.bands[0].from_m, document.bands[0].to_m) == (20.0, None)


@pytest.mark.parametrize(
    ("color", "fault"),
    [
        (None, "is null, not a list"),
        ([1, 2], "must have 3 entries"),
        ([1, 2, 256], "is 256, but must be at most 255"),
        ([1, 2, 0.5], "is a number, not a whole number"),
        ("red", "is a text, not a list"),
        ([1, 2, True], "is true or false, not a whole number"),
    ],
)
def test_a_color_is_three_numbers(tmp_path: Path, color: object, fault: str) -> None:
    document = eval_document()
    document["classes"][1]["color"] = color
    with pytest.raises(InputError, match=rf"classes\[1\].color\S* .*{fault}"):
        read_document(write_eval(tmp_path / "e.json", document))


def _without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in eval_document().items() if key not in keys}


BROKEN: list[tuple[object, str]] = [
    (_without("scores"), "has no 'scores'"),
    (eval_document(changes={"points": 1.5}), "points is a number, not a whole number"),
    (eval_document(changes={"points": True}), "points is true or false, not a whole number"),
    (eval_document(changes={"points": -1}), "points is -1, but must be at least 0"),
    (eval_document(changes={"split": 3}), "split is a whole number, not a text"),
    (eval_document(changes={"classes": {}}), "classes is an object, not a list"),
    (eval_document(changes={"classes": [1]}), r"classes\[0\] is a whole number, not an object"),
    (eval_document(changes={"scores": {}}), "scores has no 'miou'"),
    (eval_document(changes={"head": "third"}), "head is 'third'"),
    (eval_document(changes={"weights": None}), "weights is null, not an object"),
    (eval_document(changes={"panoptic": {"pq": "x"}}), "panoptic.pq is a text, not a number"),
    (eval_document(changes={"panoptic": {"pq": 2}}), "panoptic.pq is 2, but must be at most 1"),
    (eval_document(changes={"confusion": [[1]]}), "not 3 rows of 4"),
    (
        eval_document(changes={"confusion": [[0, -1]]}),
        r"confusion\[0\]\[1\] is -1, but must be at l",
    ),
    (eval_document(changes={"confusion": [[2**70]]}), r"confusion\[0\]\[0\] is"),
    (eval_document(changes={"bands": [{"from_m": 1}]}), r"bands\[0\] has no 'to_m'"),
]


@pytest.mark.parametrize(("document", "fault"), BROKEN)
def test_a_document_that_does_not_fit_the_schema_is_rejected(
    tmp_path: Path, document: object, fault: str
) -> None:
    with pytest.raises(InputError, match=fault) as refused:
        read_document(write_eval(tmp_path / "e.json", document))
    assert refused.value.code == "E_CORRUPT"
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("document", "schema"), [({"schema": "clip3d.label/1"}, "'clip3d.label/1'"), ([1, 2], "None")]
)
def test_other_documents_are_rejected(tmp_path: Path, document: object, schema: str) -> None:
    with pytest.raises(InputError, match=f"has the schema {schema}, not") as refused:
        read_document(write_eval(tmp_path / "e.json", document))
    assert refused.value.code == "E_UNSUPPORTED"


def test_what_is_not_json_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_text('{\n"schema": x}')
    with pytest.raises(InputError, match=r"e.json: line 2, column 11 is not JSON"):
        read_records([path])
    for other in (b"\xff\xfe\x00", b"[" * 100_000):
        path.write_bytes(other)
        with pytest.raises(InputError, match="not JSON"):
            read_records([path])


def test_where_there_is_no_run(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a")
    with pytest.raises(InputError, match="has neither a run nor an evaluation") as refused:
        read_records([tmp_path / "runs"])
    assert str(tmp_path / "runs" / "a") in refused.value.remedy
    with pytest.raises(InputError, match="does not exist"):
        read_records([tmp_path / "missing"])
    with pytest.raises(UsageError, match="given twice"):
        read_records([tmp_path / "runs" / "a", tmp_path / "runs" / "." / "a"])


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("config.toml", "a = [", "is not TOML"),
        ("versions.json", "{}", "is an object, not a list"),
        ("versions.json", "[\n{,", "line 2, column 2 is not JSON"),
        ("eval.val.json", "{}", "has the schema None"),
    ],
)
def test_a_broken_file_of_a_run_is_refused(
    tmp_path: Path, name: str, text: str, fault: str
) -> None:
    folder = write_run(tmp_path / "a")
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=fault) as refused:
        read_records([folder])
    assert refused.value.where == str(folder / name)


def test_a_broken_run_does_not_keep_others_out(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name) for name in "abc"]
    (tmp_path / "b" / "config.toml").write_text("a = [")
    write_eval(tmp_path / "b" / "eval.val.json")
    write_eval(tmp_path / "c" / "eval.val.json")
    records = read_records([*paths, tmp_path / "missing"])
    assert [run.name for run in records.runs] == ["a", "c"]
    # Half of a run would pass for all of it.
    assert [each.name for each in records.evaluations] == ["c · val"]
    assert [failure.path for failure in records.failures] == [paths[1], tmp_path / "missing"]
    assert "b/config.toml: is not TOML" in str(records.failures[0].error)


def test_a_file_that_may_not_be_read_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_run(tmp_path / name) for name in "ab"]
    read_text = Path.read_text

    def deny(path: Path, **options: str) -> str:
        if path.parent == paths[0]:
            raise PermissionError(13, "Permission denied", str(path))
        return read_text(path, **options)

    monkeypatch.setattr(Path, "read_text", deny)
    records = read_records(paths)
    assert ([run.name for run in records.runs], len(records.failures)) == (["b"], 1)
