"""One engine in a process of its own, which handles one request at a time.

Requests are JSON lines on the standard input, results JSON lines on the standard output:

    {"do": "load", "engine": …, "mode": …, "threads": …, "device": …, "inputs": path}
    {"do": "maps" | "forward" | "step" | "gemm" | "peak"}      → measurements
    {"do": "save_result", "to": path}                          → writes the vectors with torch.save

Everything else that is printed goes to the standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.engine_process import PEERS

GEMM_EDGES = (1024, 2048, 3072)
Message = dict[str, Any]


class Engine(Protocol):
    """A network on one cloud."""

    network: nn.Module
    version: str

    def vectors(self) -> Tensor:
        """(M, D): a whole forward pass, kernel maps included."""

    def build_maps(self) -> None:
        """Build the kernel maps only."""


class OurEngine:
    """clip3d's network on one of its backends."""

    def __init__(self, name: str, mode: str, inputs: Message, device: str) -> None:
        from benchmarks.network import CLASSES, IN_CHANNELS, LEVELS
        from clip3d_cli import registry
        from clip3d_cli.encoders.minkunet import MinkUNet

        self.backend = registry.load("backends", name)(precision=mode)
        reason = self.backend.unavailable_reason()
        if device not in self.backend.device_types:
            reason = f"it does not compute on {device}"
        if reason is not None:
            raise RuntimeError(reason)
        self.version = f"clip3d, torch {torch.__version__}"
        self.levels = LEVELS
        self.network: nn.Module = MinkUNet(IN_CHANNELS, CLASSES, layers=inputs["layers"])
        self.network.load_state_dict(inputs["weights"])
        self.network.to(device)
        self.cells = inputs["cells"].to(device)
        self.feats = inputs["feats"].to(device, self.backend.dtype)

    def vectors(self) -> Tensor:
        from clip3d_cli.sparse.plan import Plan
        from clip3d_cli.sparse.tensor import SparseTensor

        result: Tensor = self.network(
            SparseTensor(self.cells, self.feats), Plan(self.cells, self.backend)
        )
        return result

    def build_maps(self) -> None:
        from clip3d_cli.sparse.plan import Plan

        plan = Plan(self.cells, self.backend)
        for stride in self.levels[:-1]:
            coarse = plan.level(2 * stride)
            self.backend.build_kernel_map(plan.level(stride), coarse, 2)
        for stride in self.levels:
            self.backend.build_kernel_map(plan.level(stride), plan.level(stride), 3)


class PeerEngine:
    """The same network on another library."""

    def __init__(self, name: str, mode: str, inputs: Message, device: str) -> None:
        from benchmarks.peer_unet import PeerUNet

        if device == "cpu" and mode != "exact":
            raise RuntimeError("it computes in float32 only on a CPU")
        library = importlib.import_module(f"benchmarks.peers_{name}")
        self.version = f"{name} {library.VERSION}, torch {torch.__version__}"
        self.kit = library.Kit()
        self.network: nn.Module = PeerUNet(self.kit, inputs["weights"]).to(device)
        self.half = mode == "fast"
        allow_tf32(name, mode)
        self.cells = inputs["cells"].to(device)
        self.feats = inputs["feats"].to(device)

    def vectors(self) -> Tensor:
        with torch.autocast(self.cells.device.type, torch.float16, enabled=self.half):
            result: Tensor = self.network(self.cells, self.feats)
        return result

    def build_maps(self) -> None:
        self.kit.build_maps(self.cells)


def allow_tf32(name: str, mode: str) -> None:
    """Let PyTorch and the library multiply in TF32 on CUDA in the mode ``high``, and only there."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode == "high"
    if name == "spconv":
        importlib.import_module("spconv.constants").SPCONV_ALLOW_TF32 = mode == "high"


class Child:
    """Handles requests, and keeps the engine between them."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.device = "cpu"
        self.mode = "exact"
        self.start_mb = 0.0
        self.classes = torch.empty(0, dtype=torch.long)

    def load(self, request: Message) -> Message:
        torch.set_num_threads(request["threads"])
        inputs = torch.load(request["inputs"], weights_only=True)
        self.device, self.mode = request["device"], request["mode"]
        kind = PeerEngine if request["engine"] in PEERS else OurEngine
        self.engine = kind(request["engine"], self.mode, inputs, self.device)
        self.classes = inputs["classes"].to(self.device)
        # Otherwise its copy of the weights would count as memory of the engine.
        del inputs
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self.start_mb = torch.cuda.memory_allocated() / 2**20
        else:
            forget_peak()
            self.start_mb = resident_mb("VmRSS")
        return {"version": self.engine.version}

    def maps(self, _: Message) -> Message:
        return self._timed(self._engine.build_maps)

    def forward(self, _: Message) -> Message:
        self._engine.network.eval()
        with torch.no_grad():
            return self._timed(self._engine.vectors)

    def step(self, _: Message) -> Message:
        network = self._engine.network.train()
        network.zero_grad(set_to_none=True)
        losses = []

        def work() -> None:
            loss = F.cross_entropy(self._engine.vectors().float(), self.classes)
            loss.backward()
            losses.append(float(loss.detach()))

        taken = self._timed(work)
        norms = [each.grad.norm() for each in network.parameters() if each.grad is not None]
        return {**taken, "loss": losses[0], "gradient": float(torch.stack(norms).norm())}

    def save_result(self, request: Message) -> Message:
        self._engine.network.eval()
        with torch.no_grad():
            torch.save(self._engine.vectors().float().cpu(), request["to"])
        return {}

    def peak(self, _: Message) -> Message:
        if self.device == "cuda":
            return {"mb": torch.cuda.max_memory_allocated() / 2**20 - self.start_mb}
        return {"mb": resident_mb("VmHWM") - self.start_mb}

    def gemm(self, _: Message) -> Message:
        """Measure the best rate of large matrix products in the mode's number format, in GF/s."""
        dtype = self.gemm_dtype()
        rates = []
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self.mode == "high"
        for edge in GEMM_EDGES:
            square = torch.randn(edge, edge, device=self.device).to(dtype)
            taken = self._timed(lambda square=square: torch.mm(square, square))
            rates.append(2e-9 * edge**3 / taken["seconds"])
        torch.backends.cuda.matmul.allow_tf32 = before
        return {"gflops": max(rates), "dtype": str(dtype).removeprefix("torch.")}

    def gemm_dtype(self) -> torch.dtype:
        has_bf16 = self.device == "cuda" or cpu_has_bf16()
        return torch.bfloat16 if self.mode == "fast" and has_bf16 else torch.float32

    @property
    def _engine(self) -> Engine:
        if self.engine is None:
            raise RuntimeError("no engine is loaded")
        return self.engine

    def _timed(self, work: Callable[[], object]) -> Message:
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return {"seconds": time.perf_counter() - began}

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def cpu_has_bf16() -> bool:
    """Whether the CPU has instructions that multiply bfloat16."""
    info = Path("/proc/cpuinfo")
    return info.exists() and any(flag in info.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def forget_peak() -> None:
    """Reset VmHWM to the current memory: loading a network holds two copies for a moment."""
    knob = Path("/proc/self/clear_refs")
    if knob.exists():
        knob.write_text("5")


def resident_mb(field: str) -> float:
    """VmRSS or VmHWM of this process in MB; without /proc, the peak in both cases."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = (line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def main() -> None:
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    child = Child()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            result = getattr(child, request["do"])(request)
        except Exception as error:  # noqa: BLE001 - a foreign library may raise anything
            result = {"failed": f"{type(error).__name__}: {error}".splitlines()[0]}
        results.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
