"""Sparse-convolution engines side by side: speed, memory and agreement of whole networks.

    python -m benchmarks.engines [--peers spconv,minkowski,torchsparse] [--layers 14,18,34]
        [--clouds lidar,room,million] [--modes exact,high,fast] [--training] [--threads 2]
        [--device cpu] [--repeats 5] [--peer-python spconv=/path/to/python] [--json FILE]

Every engine that can be imported runs a MinkUNet with the same weights on the same cloud, each in a
process of its own. The engines take turns: each computes one pass, kernel maps included, then the
next one does, so that other load of the machine affects all equally. Prints Markdown. A peer may be
installed in another Python, which is named with ``--peer-python``. Linux only. On a GPU:

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
    needed_operations,
    random_classes,
    random_feats,
    random_weights,
)
from clip3d_cli import registry

REFERENCE = "torch"


def main() -> None:
    options = arguments().parse_args()
    torch.set_num_threads(options.threads)
    print(machine(options.threads, options.device))
    cases = []
    for cloud, layers in itertools.product(options.clouds, options.layers):
        case = run_case(cloud, layers, options)
        print_case(case)
        cases.append(case.as_json())
    if options.json:
        options.json.write_text(json.dumps(cases, indent=1) + "\n")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ours = [name for name in registry.names("backends") if name not in PEERS]
    parser.add_argument("--engines", type=listed, default=ours, help="clip3d's backends to measure")
    parser.add_argument("--peers", type=listed, default=[])
    parser.add_argument("--layers", type=lambda text: [int(n) for n in listed(text)], default=[18])
    parser.add_argument("--clouds", type=listed, default=["lidar", "room"])
    parser.add_argument("--modes", type=listed, default=["exact", "high", "fast"])
    parser.add_argument("--training", action="store_true", help="also measure a training step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--share", type=float, default=1.0, help="part of the cloud to use, for a quick run"
    )
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def settings(options: argparse.Namespace) -> list[Setting]:
    """Return all engines in all modes.

    On a CPU, spconv computes wrong numbers with several threads, so it also runs with one;
    torchsparse is three times slower with several, so it runs with one only.
    """
    pythons = dict(each.split("=", 1) for each in options.peer_python)
    found = [
        Setting(name, mode, options.threads, options.device, sys.executable)
        for name in options.engines
        for mode in options.modes
    ]
    for name in options.peers:
        python = pythons.get(name, sys.executable)
        threads = [options.threads]
        if options.device == "cpu" and name in ("spconv", "torchsparse"):
            threads = [1] if name == "torchsparse" else sorted({options.threads, 1}, reverse=True)
        modes = ["exact"] if options.device == "cpu" else options.modes
        found += [
            Setting(name, mode, count, options.device, python)
            for mode in modes
            for count in threads
        ]
    return found


def run_case(cloud: str, layers: int, options: argparse.Namespace) -> Case:
    cells = torch.from_numpy(CLOUDS[cloud](options.share))
    state = random_weights(layers)
    counts = level_counts(cells)
    case = Case(cloud, layers, counts, needed_operations(state, counts), options.threads)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs.pt"
        torch.save(
            {
                "layers": layers,
                "weights": state,
                "cells": cells,
                "feats": random_feats(len(cells)),
                "classes": random_classes(len(cells)),
            },
            inputs,
        )
        started = start(settings(options), inputs, case)
        try:
            measure(started, case, options, Path(folder))
        finally:
            for process, _ in started:
                process.stop()
    return case


def start(wanted: list[Setting], inputs: Path, case: Case) -> list[tuple[EngineProcess, Row]]:
    """Start the engines that can be loaded; print a line about each of the others."""
    started = []
    for setting in wanted:
        process = EngineProcess(setting)
        try:
            loaded = process.request("load", inputs=str(inputs), **setting.as_request())
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
    options: argparse.Namespace,
    folder: Path,
) -> None:
    """Measure forward passes in rounds, compare the results, then measure training steps."""
    rounds(started, options.repeats, ("gemm", "maps", "forward"))
    for process, row in started:
        row.add("peak", process.try_request("peak"))
        result = folder / f"{row.setting.label}.pt"
        if "failed" not in process.try_request("save_result", to=str(result)):
            row.result = torch.load(result, weights_only=True)
    case.compare_results(REFERENCE)
    if options.training:
        rounds(started, max(2, options.repeats // 2), ("step",))
        for process, row in started:
            row.add("step_peak", process.try_request("peak"))


def rounds(
    started: list[tuple[EngineProcess, Row]], repeats: int, requests: tuple[str, ...]
) -> None:
    """Measure all engines in turn; the first round is a warm-up that is not counted."""
    for number, request in itertools.product(range(repeats + 1), requests):
        for process, row in started:
            found: dict[str, Any] = process.try_request(request)
            if number or "failed" in found:
                row.add(request, found)


if __name__ == "__main__":
    main()
