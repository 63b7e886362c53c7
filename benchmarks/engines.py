"""Sparse-convolution engines side by side: speed, memory and agreement of whole networks.

    python -m benchmarks.engines [--peers spconv,minkowski,torchsparse] [--layers 14,18,34]
        [--clouds lidar,room,million] [--modes exact,high,fast] [--training] [--threads 2]
        [--device cpu] [--repeats 5] [--peer-python spconv=/path/to/python] [--json FILE]

Every engine that can be imported runs a MinkUNet of the same weights on the same cloud, each in a
process of its own. They take turns: each does one pass, kernel maps and all, then the next, so that
whatever else the machine does hits all alike. Prints Markdown. A peer may lie in another Python:
say which with ``--peer-python``. Linux only. On a GPU:

    python -m benchmarks.engines --device cuda --peers spconv,torchsparse --training
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.clouds import CLOUDS
from benchmarks.engine_process import PEERS, EngineError, EngineProcess, Setting
from benchmarks.engine_report import Case, Row, machine, print_case
from benchmarks.network import (
    level_counts,
    made_up_feats,
    made_up_truth,
    made_up_weights,
    needed_operations,
)
from clip3d_cli import registry

REFERENCE = "torch"


def main() -> None:
    asked = arguments().parse_args()
    torch.set_num_threads(asked.threads)
    print(machine(asked.threads, asked.device))
    cases = []
    for cloud, layers in itertools.product(asked.clouds, asked.layers):
        case = run_case(cloud, layers, asked)
        print_case(case)
        cases.append(case.as_json())
    if asked.json:
        asked.json.write_text(json.dumps(cases, indent=1) + "\n")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ours = [name for name in registry.names("backends") if name not in PEERS]
    parser.add_argument("--engines", type=listed, default=ours, help="ours, by name")
    parser.add_argument("--peers", type=listed, default=[])
    parser.add_argument("--layers", type=lambda text: [int(n) for n in listed(text)], default=[18])
    parser.add_argument("--clouds", type=listed, default=["lidar", "room"])
    parser.add_argument("--modes", type=listed, default=["exact", "high", "fast"])
    parser.add_argument("--training", action="store_true", help="also a training step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the cloud, for a quick look")
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def settings(asked: argparse.Namespace) -> list[Setting]:
    """All engines in all modes.

    On a CPU, spconv computes wrong numbers with several threads, so it runs with one as well, and
    torchsparse is three times slower with several, so it runs with one.
    """
    pythons = dict(each.split("=", 1) for each in asked.peer_python)
    found = [
        Setting(name, mode, asked.threads, asked.device, sys.executable)
        for name in asked.engines
        for mode in asked.modes
    ]
    for name in asked.peers:
        python = pythons.get(name, sys.executable)
        threads = [asked.threads]
        if asked.device == "cpu" and name in ("spconv", "torchsparse"):
            threads = [1] if name == "torchsparse" else sorted({asked.threads, 1}, reverse=True)
        modes = ["exact"] if asked.device == "cpu" else asked.modes
        found += [
            Setting(name, mode, count, asked.device, python) for mode in modes for count in threads
        ]
    return found


def run_case(cloud: str, layers: int, asked: argparse.Namespace) -> Case:
    cells = torch.from_numpy(CLOUDS[cloud](asked.share))
    state = made_up_weights(layers)
    counts = level_counts(cells)
    case = Case(cloud, layers, counts, needed_operations(state, counts), asked.threads)
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.pt"
        torch.save(
            {
                "layers": layers,
                "weights": state,
                "cells": cells,
                "feats": made_up_feats(len(cells)),
                "truth": made_up_truth(len(cells)),
            },
            given,
        )
        started = start(settings(asked), given, case)
        try:
            measure(started, case, asked, Path(folder))
        finally:
            for process, _ in started:
                process.stop()
    return case


def start(wanted: list[Setting], given: Path, case: Case) -> list[tuple[EngineProcess, Row]]:
    """The engines that can be loaded; a line is printed of each of the others."""
    started = []
    for setting in wanted:
        process = EngineProcess(setting)
        try:
            loaded = process.ask("load", given=str(given), **setting.order())
        except EngineError as failure:
            print(f"left out: {setting.label}: {failure}")
            process.stop()
            continue
        row = Row(setting, loaded["version"])
        case.rows.append(row)
        started.append((process, row))
    return started


def measure(
    started: list[tuple[EngineProcess, Row]],
    case: Case,
    asked: argparse.Namespace,
    folder: Path,
) -> None:
    """Rounds of forward passes, then the answers, then rounds of training steps."""
    rounds(started, asked.repeats, ("gemm", "maps", "forward"))
    for process, row in started:
        row.take("peak", process.try_asking("peak"))
        answer = folder / f"{row.setting.label}.pt"
        if "failed" not in process.try_asking("answer", to=str(answer)):
            row.answer = torch.load(answer, weights_only=True)
    case.compare_answers(REFERENCE)
    if asked.training:
        rounds(started, max(2, asked.repeats // 2), ("step",))
        for process, row in started:
            row.take("step_peak", process.try_asking("peak"))


def rounds(started: list[tuple[EngineProcess, Row]], repeats: int, orders: tuple[str, ...]) -> None:
    """Every engine in turn, and once beforehand, not counted."""
    for number, order in itertools.product(range(repeats + 1), orders):
        for process, row in started:
            found: dict[str, Any] = process.try_asking(order)
            if number or "failed" in found:
                row.take(order, found)


if __name__ == "__main__":
    main()
