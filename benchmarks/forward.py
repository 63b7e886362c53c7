"""How long the point network takes, beside what its matrix products alone would take.

    python -m benchmarks.forward --threads 2 --layers 18 --width 1.0 [--scan frame.npz]

The floor is the number of multiplications the network cannot do without (pairs of voxels that see
each other, times channels), divided by the rate of large matrix products measured in the same
run, between the passes. Other programs on the machine make wall time worse; with --threads 1 the
CPU time hardly notices them. Peak memory is that of the process, less what it held before the
first pass; it is read as Linux gives it.
"""

from __future__ import annotations

import argparse
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clip3d_cli.encoders.minkunet import MinkUNet
from clip3d_cli.sparse.backend import Level
from clip3d_cli.sparse.plan import Plan
from clip3d_cli.sparse.tensor import SparseTensor
from clip3d_cli.sparse.torch_backend import TorchBackend

GEMM_EDGE = 1536
DIM = 512


@dataclass(frozen=True)
class Seconds:
    """One timing, or a median of each clock on its own."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Measurement:
    """Medians, and the most memory that was held."""

    gemm: Seconds
    maps: Seconds
    forward: Seconds
    step: Seconds
    forward_mb: float
    step_mb: float


class CountingBackend(TorchBackend):
    """The plain backend, counting the floating point operations it cannot do without."""

    def __init__(self) -> None:
        self.operations = 0

    def convolve(
        self, feats: Tensor, weight: Tensor, kernel_map: Any, *, transposed: bool = False
    ) -> Tensor:
        book = kernel_map.forward
        pairs = sum(len(tile.bag) for tile in book.tiles)
        self.operations += 2 * pairs * weight.shape[1] * weight.shape[2]
        return super().convolve(feats, weight, kernel_map, transposed=transposed)


def scan_cells(path: Path | None, voxel_size_m: float, sensor: int | None) -> Tensor:
    """The voxels of a stored frame, or of a made-up street of about 80,000 voxels."""
    if path is None:
        draw = np.random.default_rng(0)
        angle, range_m = draw.uniform(0, 2 * np.pi, 130_000), draw.gamma(2, 12, 130_000)
        height_m = np.where(draw.random(130_000) < 0.5, 0.0, draw.uniform(0, 6, 130_000))
        xyz = np.stack((range_m * np.cos(angle), range_m * np.sin(angle), height_m), axis=1)
    else:
        frame = np.load(path)
        xyz = frame["xyz"] if sensor is None else frame["xyz"][frame["sensor"] == sensor]
    cells = np.unique(np.floor((xyz - xyz.min(0)) / voxel_size_m).astype(np.int32), axis=0)
    return torch.from_numpy(np.insert(cells, 0, 0, axis=1))


def timed(work: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def median(timings: list[Seconds]) -> Seconds:
    return Seconds(
        statistics.median(each.wall for each in timings),
        statistics.median(each.cpu for each in timings),
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def network_operations(network: nn.Module, tensor: SparseTensor) -> int:
    """Floating point operations of one forward pass, convolutions and linear layers."""
    backend = CountingBackend()

    def count(layer: nn.Module, given: tuple[Tensor, ...], _: Tensor) -> None:
        backend.operations += 2 * len(given[0]) * layer.weight.numel()

    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, nn.Linear)
    ]
    with torch.no_grad():
        network(tensor, Plan(tensor.cells, backend))
    for hook in hooks:
        hook.remove()
    return backend.operations


def build_maps(cells: Tensor, stem_kernel: int) -> Plan:
    """A plan with every kernel map of a U-Net built."""
    plan, backend = Plan(cells), TorchBackend()
    for stride in (1, 2, 4, 8):
        coarse = plan.level(2 * stride)
        backend.kernel_map(plan.level(stride), coarse, 2)
    for stride in (1, 2, 4, 8, 16):
        level: Level = plan.level(stride)
        backend.kernel_map(level, level, stem_kernel if stride == 1 else 3)
    return plan


def measure(network: MinkUNet, tensor: SparseTensor, repeats: int) -> Measurement:
    square = torch.randn(GEMM_EDGE, GEMM_EDGE)
    words = torch.randn(DIM, 20)
    truth = torch.zeros(len(tensor), dtype=torch.long)

    def forward() -> None:
        with torch.no_grad():
            network(tensor)

    def step() -> None:
        network.zero_grad()
        nn.functional.cross_entropy(network(tensor) @ words, truth).backward()

    gemm: list[Seconds] = []
    maps: list[Seconds] = []
    forwards: list[Seconds] = []
    steps: list[Seconds] = []
    before_mb = peak_mb()
    for _ in range(repeats):
        gemm += [timed(lambda: square @ square) for _ in range(3)]
        maps.append(timed(lambda: build_maps(tensor.cells, 3)))
        network.eval()
        forwards.append(timed(forward))
    forward_mb = peak_mb() - before_mb
    for _ in range(repeats):
        gemm += [timed(lambda: square @ square) for _ in range(3)]
        network.train()
        steps.append(timed(step))
    return Measurement(
        gemm=median(gemm),
        maps=median(maps),
        forward=median(forwards),
        step=median(steps),
        forward_mb=forward_mb,
        step_mb=peak_mb() - before_mb,
    )


def report(found: Measurement, operations: int) -> None:
    """Each figure on both clocks, with its ratio to the floor on the same clock."""
    print(f"{operations / 1e9:.1f} GFLOP a forward pass")
    print("               wall s   x floor     cpu s   x floor")
    for name, seconds, floors in (
        ("maps", found.maps, 0),
        ("forward", found.forward, 1),
        ("training step", found.step, 3),
    ):
        row = f"{name:13s}"
        for clock in ("wall", "cpu"):
            rate = 2 * GEMM_EDGE**3 / getattr(found.gemm, clock)
            spent = getattr(seconds, clock)
            ratio = f"{spent / (floors * operations / rate):8.2f}" if floors else " " * 8
            row += f"{spent:8.2f}  {ratio}"
        print(row)
    rates = [2e-9 * GEMM_EDGE**3 / each for each in (found.gemm.wall, found.gemm.cpu)]
    print(f"GEMM rate     {rates[0]:7.0f} GF/s wall, {rates[1]:.0f} GF/s a CPU second")
    print(f"peak memory over the start: forward {found.forward_mb:,.0f} MB", end=", ")
    print(f"training step {found.step_mb:,.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", type=int, default=18)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--scan", type=Path, help="npz with xyz (and sensor)")
    parser.add_argument("--sensor", type=int, help="only this sensor's points")
    parser.add_argument("--voxel-size-m", type=float, default=0.1)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    cells = scan_cells(asked.scan, asked.voxel_size_m, asked.sensor)
    network = MinkUNet(4, DIM, layers=asked.layers, width=asked.width).eval()
    tensor = SparseTensor(cells, torch.randn(len(cells), 4))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{platform.machine()}, {asked.threads} threads, torch {torch.__version__}, fp32")
    print(
        f"MinkUNet{asked.layers} x{asked.width}: {parameters:,} parameters, {len(cells):,} voxels"
    )
    found = measure(network, tensor, asked.repeats)
    report(found, network_operations(network.eval(), tensor))


if __name__ == "__main__":
    main()
