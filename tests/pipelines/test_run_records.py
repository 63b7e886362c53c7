from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_sample import COUNTS, eval_document, step_line, write_eval, write_run

from clip3d_cli.errors import InputError, UsageError
from clip3d_cli.pipelines.report.evaluation_records import SCHEMA, read_evaluation
from clip3d_cli.pipelines.report.run_records import read_metrics, read_records


def test_a_run_is_read_back(tmp_path: Path) -> None:
    (run,) = read_records([write_run(tmp_path / "a", steps=3, level=6.0)]).runs
    assert (run.name, run.steps, run.asked) == ("a", 3, 60)
    assert run.config["optimizer.learning_rate"] == 0.01
    np.testing.assert_allclose(run.series["loss"].values, [6, 3, 2])
    assert run.series["loss"].steps.tolist() == [1, 2, 3]
    assert run.seconds == 1.5
    assert run.starts[0]["clip3d"] == "0.1.0"
    assert (run.sha256, run.text_encoder) == ("", "")


def test_the_clock_of_a_resumed_run_starts_anew(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", steps=2)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "seconds": 0.7}\n{"step": 4, "seconds": 0.9}\n')
    (run,) = read_records([folder]).runs
    assert run.seconds == pytest.approx(1.0 + 0.9)


def test_a_line_still_being_written_is_passed_over(tmp_path: Path) -> None:
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
    "line", ['{"step": 2, "lo', "[]", '{"loss": 1}', '{"step": 2, "loss": "x"}']
)
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f"{json.dumps(step_line(1))}\n{line}\n{json.dumps(step_line(3))}\n")
    with pytest.raises(InputError, match=r"metrics.jsonl: line 2 is no metric"):
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
    document = eval_document(changes={"harmonic": {"base": 0.5, "novel_miou": 0.25, "hiou": None}})
    each = read_evaluation(write_eval(tmp_path / "e.json", document), "e")
    assert each.confusion.counts.tolist() == [list(row) for row in COUNTS]
    assert (each.points, each.scenes, each.head, each.sha256) == (15, 2, "text", "5e" * 32)
    assert each.metric.startswith("mIoU over present classes")
    assert each.scores["miou"] == pytest.approx((6 / 10 + 5 / 7) / 2)
    assert each.scores["foreground miou"] == 0.5
    assert each.scores["harmonic novel_miou"] == 0.25
    assert np.isnan(each.scores["harmonic hiou"])
    assert "pq" not in each.scores
    assert np.isnan(each.iou).tolist() == [False, False, True]
    assert (each.bands[0].from_m, np.isnan(each.bands[0].to_m)) == (20.0, True)


def test_the_schema_is_that_of_the_command() -> None:
    from clip3d_cli.pipelines.evaluate import document as evaluation_document

    assert evaluation_document.SCHEMA == SCHEMA


def test_classes_keep_the_colors_of_their_vocabulary(tmp_path: Path) -> None:
    found = read_evaluation(write_eval(tmp_path / "e.json", eval_document()), "e").classes
    assert [entry.color for entry in found] == [(0, 100, 200), (40, 100, 200), (80, 100, 200)]


@pytest.mark.parametrize("color", [None, [1, 2], [1, 2, 256], [1, 2, 0.5], "red", [1, 2, True]])
def test_a_color_is_three_numbers(tmp_path: Path, color: object) -> None:
    document = eval_document()
    document["classes"][1]["color"] = color
    with pytest.raises(InputError, match=r"classes\[1\].color is not three numbers 0…255"):
        read_evaluation(write_eval(tmp_path / "e.json", document), "e")


def _without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in eval_document().items() if key not in keys}


BROKEN: list[tuple[object, str, str]] = [
    ({"schema": "clip3d.label/1"}, "E_UNSUPPORTED", "is of schema 'clip3d.label/1', not"),
    ([1, 2], "E_UNSUPPORTED", "is of schema None"),
    (_without("scores"), "E_CORRUPT", "scores is missing"),
    (eval_document(changes={"points": 1.5}), "E_CORRUPT", "points is not a count"),
    (eval_document(changes={"points": True}), "E_CORRUPT", "points is not a count"),
    (eval_document(changes={"split": 3}), "E_CORRUPT", "split is not a text"),
    (eval_document(changes={"classes": {}}), "E_CORRUPT", "classes is not a list"),
    (eval_document(changes={"classes": [1]}), "E_CORRUPT", r"classes\[0\] is not an object"),
    (eval_document(changes={"scores": {}}), "E_CORRUPT", "scores.miou is missing"),
    (eval_document(changes={"weights": None}), "E_CORRUPT", "weights is not an object"),
    (eval_document(changes={"panoptic": {"pq": "x"}}), "E_CORRUPT", "panoptic.pq is not a number"),
    (eval_document(changes={"confusion": [[1]]}), "E_CORRUPT", "not 3 rows of 4 counts"),
    (eval_document(changes={"confusion": [[0, 0, 0, -1]] * 3}), "E_CORRUPT", "not 3 rows"),
    (eval_document(changes={"confusion": [[0, 0, 0, 2**70]] * 3}), "E_CORRUPT", "not 3 rows"),
    (eval_document(changes={"bands": [{"from_m": 1}]}), "E_CORRUPT", r"bands\[0\].to_m is missing"),
]


@pytest.mark.parametrize(("document", "code", "fault"), BROKEN)
def test_a_document_that_lacks_something_is_refused(
    tmp_path: Path, document: object, code: str, fault: str
) -> None:
    with pytest.raises(InputError, match=fault) as refused:
        read_evaluation(write_eval(tmp_path / "e.json", document), "e")
    assert refused.value.code == code
    assert "\n" not in str(refused.value)


def test_what_is_not_json_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_text('{\n"schema": ')
    with pytest.raises(InputError, match=r"e.json: line 2 is not JSON"):
        read_records([path])
    for other in (b"\xff\xfe\x00", b"[" * 100_000):
        path.write_bytes(other)
        with pytest.raises(InputError, match="not JSON"):
            read_records([path])


def test_where_there_is_no_run(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a")
    with pytest.raises(InputError, match="holds no run") as refused:
        read_records([tmp_path / "runs"])
    assert str(tmp_path / "runs" / "a") in refused.value.remedy
    with pytest.raises(InputError, match="is not there"):
        read_records([tmp_path / "missing"])
    with pytest.raises(UsageError, match="given twice"):
        read_records([tmp_path / "runs" / "a", tmp_path / "runs" / "." / "a"])


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("config.toml", "a = [", "is not TOML"),
        ("versions.json", "{}", "is not a list of starts"),
        ("versions.json", "[\n1,", "line 2 is not JSON"),
        ("eval.val.json", "{}", "is of schema None"),
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
