from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from benchmarks.clouds import CLOUDS
from benchmarks.engine_process import EngineError, EngineProcess, Setting
from benchmarks.engine_report import Case, Row, print_case
from benchmarks.network import (
    level_counts,
    made_up_feats,
    made_up_truth,
    made_up_weights,
    needed_operations,
)
from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor

SHARE = 0.01


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
    state = made_up_weights(14)
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
    state, feats = made_up_weights(14), made_up_feats(len(cells))
    given = {"layers": 14, "weights": state, "cells": cells, "feats": feats}
    torch.save({**given, "truth": made_up_truth(len(cells))}, tmp_path / "given.pt")
    counts = level_counts(cells)
    case = Case("room", 14, counts, needed_operations(state, counts), 1)
    setting = Setting("torch", "exact", 1, "cpu", sys.executable)
    process = EngineProcess(setting)
    try:
        loaded = process.ask("load", given=str(tmp_path / "given.pt"), **setting.order())
        row = Row(setting, loaded["version"])
        case.rows.append(row)
        for order in ("maps", "forward", "step", "peak"):
            row.take(order, process.ask(order))
        process.ask("answer", to=str(tmp_path / "answer.pt"))
        with pytest.raises(EngineError, match="AttributeError"):
            process.ask("dance")
    finally:
        process.stop()
    network = MinkUNet(4, 20, layers=14)
    network.load_state_dict(state)
    # The step came before the answer, and a step in training moves the running statistics.
    network.train()(SparseTensor(cells, feats))
    with torch.no_grad():
        wanted = network.eval()(SparseTensor(cells, feats), Plan(cells))
    row.answer = torch.load(tmp_path / "answer.pt", weights_only=True)
    torch.testing.assert_close(row.answer, wanted, rtol=1e-4, atol=1e-4)
    case.compare_answers("torch")
    assert (row.error, row.agreement) == (0, 1)
    assert row.all("step", "loss")[0] > 0
    print_case(case)
    printed = capsys.readouterr().out
    assert "MinkUNet14 on room" in printed
    assert "| torch exact |" in printed
    assert not row.failures


def test_an_engine_that_cannot_run_says_why(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "given.pt")
    setting = Setting("minkowski", "exact", 1, "cpu", sys.executable)
    process = EngineProcess(setting)
    try:
        with pytest.raises(EngineError, match="No module named 'MinkowskiEngine'"):
            process.ask("load", given=str(tmp_path / "given.pt"), **setting.order())
    finally:
        process.stop()
