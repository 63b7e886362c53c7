"""Measurements of engines as Markdown and as JSON."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.engine_process import PEERS, Setting

WRONG = 1e-3


@dataclass
class Row:
    """Measurements of one engine in one case.

    Attributes:
        measured: result of every round, by request.
        failures: why a request failed, by request.
        error: norm of the difference to the reference, relative to the reference.
        agreement: share of voxels with the same argmax as the reference, 0…1.
    """

    setting: Setting
    version: str
    measured: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    result: Tensor | None = None
    error: float | None = None
    agreement: float | None = None

    def add(self, request: str, found: dict[str, Any]) -> None:
        if "failed" in found:
            self.failures[request] = found["failed"]
        else:
            self.measured.setdefault(request, []).append(found)

    def all(self, request: str, what: str = "seconds") -> list[float]:
        return [each[what] for each in self.measured.get(request, [])]

    def median(self, request: str, what: str = "seconds") -> float | None:
        values = self.all(request, what)
        return statistics.median(values) if values else None

    @property
    def wrong(self) -> bool:
        """Whether its result in full precision differs from the reference."""
        exact = self.setting.mode == "exact"
        return exact and self.error is not None and not self.error < WRONG


@dataclass
class Case:
    """One network on one cloud."""

    cloud: str
    layers: int
    counts: list[tuple[int, int]]
    operations: int
    threads: int
    rows: list[Row] = field(default_factory=list)

    def compare_results(self, reference: str) -> None:
        """Compute errors and agreements relative to the reference engine in full precision."""
        results = [
            row.result
            for row in self.rows
            if row.setting.engine == reference and row.setting.mode == "exact"
        ]
        truth = next((result for result in results if result is not None), None)
        for row in self.rows:
            if truth is not None and row.result is not None:
                row.error = float((row.result - truth).norm() / truth.norm())
                same = row.result.argmax(dim=1) == truth.argmax(dim=1)
                row.agreement = float(same.float().mean())
            row.result = None

    @property
    def peers(self) -> list[Row]:
        return [row for row in self.rows if row.setting.engine in PEERS]

    def as_json(self) -> dict[str, Any]:
        kept = ("cloud", "layers", "counts", "operations", "threads")
        rows = [
            {
                "engine": row.setting.engine,
                "mode": row.setting.mode,
                "threads": row.setting.threads,
                "device": row.setting.device,
                "version": row.version,
                "error": row.error,
                "agreement": row.agreement,
                "measured": row.measured,
                "failures": row.failures,
            }
            for row in self.rows
        ]
        return {**{name: getattr(self, name) for name in kept}, "rows": rows}


def machine(threads: int, device: str) -> str:
    """Return one line about the machine and the settings."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    if device == "cuda":
        name = f"{torch.cuda.get_device_name()}, {name}"
    load = os.getloadavg()[0]
    return f"{name}, {threads} threads, Python {platform.python_version()}, load average {load:.1f}"


def print_case(case: Case) -> None:
    """Print the tables of a case."""
    cells = case.counts[0][0]
    print(f"\n### MinkUNet{case.layers} on {case.cloud}: {case.operations / 1e9:.1f} GFLOP\n")
    levels = ", ".join(f"{rows:,} ({pairs / rows:.1f})" for rows, pairs in case.counts)
    print(f"Voxels a level (neighbours of each): {levels}\n")
    print_table(case, forward_columns(case, cells))
    if any("step" in row.measured for row in case.rows):
        print()
        print_table(case, step_columns(case))
    for row in case.rows:
        for request, reason in row.failures.items():
            print(f"\n{row.setting.label} failed at {request}: {reason}")
    print("\n" + "; ".join(sorted({row.version for row in case.rows})), flush=True)


def print_table(case: Case, columns: dict[str, Any]) -> None:
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for row in case.rows:
        print("| " + " | ".join(show(row) for show in columns.values()) + " |")


def forward_columns(case: Case, cells: int) -> dict[str, Any]:
    def share(row: Row) -> str:
        rate, peak = _rate(case, row), row.median("gemm", "gflops")
        return f"{100 * rate / peak:.0f} %" if rate and peak else "–"

    return {
        "engine": lambda row: _name(case, row),
        "maps s": lambda row: _number(row.median("maps"), ".3f"),
        "forward s": lambda row: _seconds(row, "forward"),
        **{f"× {_short(case, peer)}": _ratio(peer, "forward") for peer in case.peers},
        "GF/s": lambda row: _number(_rate(case, row), ".0f"),
        "GEMM GF/s": lambda row: _number(row.median("gemm", "gflops"), ".0f"),
        "share": share,
        "+ MB": lambda row: _number(row.median("peak", "mb"), ",.0f"),
        "B a voxel": lambda row: _number(_times(row.median("peak", "mb"), 2**20 / cells), ",.0f"),
        "error": lambda row: _number(row.error, ".1e") + (" **wrong**" if row.wrong else ""),
        "same argmax": lambda row: _number(_times(row.agreement, 100), ".3f") + " %",
    }


def step_columns(case: Case) -> dict[str, Any]:
    return {
        "engine": lambda row: _name(case, row),
        "step s": lambda row: _seconds(row, "step"),
        **{f"× {_short(case, peer)}": _ratio(peer, "step") for peer in case.peers},
        "+ MB": lambda row: _number(row.median("step_peak", "mb"), ",.0f"),
        "loss": lambda row: _number(next(iter(row.all("step", "loss")), None), ".5f"),
        "gradient": lambda row: _number(next(iter(row.all("step", "gradient")), None), ".4f"),
    }


def _name(case: Case, row: Row) -> str:
    return f"{_short(case, row)} {row.setting.mode}"


def _short(case: Case, row: Row) -> str:
    threads = row.setting.threads
    return row.setting.engine + (f" ({threads} thread)" if threads != case.threads else "")


def _seconds(row: Row, request: str) -> str:
    values = row.all(request)
    if not values:
        return "–"
    return f"{statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def _ratio(peer: Row, request: str) -> Any:
    def show(row: Row) -> str:
        slow, quick = peer.median(request), row.median(request)
        return f"{slow / quick:.2f}" if slow and quick else "–"

    return show


def _rate(case: Case, row: Row) -> float | None:
    seconds = row.median("forward")
    return 1e-9 * case.operations / seconds if seconds else None


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
