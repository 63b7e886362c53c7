"""The point encoder of a file of weights, on the engine that suits the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clip3d_cli import registry
from clip3d_cli.encoders.native.encoder import ARCHITECTURE, NativeEncoder
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.encoders.weights_file import read_weights
from clip3d_cli.native.library import status

if TYPE_CHECKING:
    from clip3d_cli.encoders.spec import HeadName
    from clip3d_cli.sparse.backend import Precision

NATIVE = "native"


@dataclass(frozen=True, slots=True)
class OpenEncoder:
    """A point encoder, ready on its device.

    Attributes:
        encoder: compares voxels with words.
        backend: the name of what computes its convolutions.
        precision: of its matrix products: ``exact``, ``high`` or ``fast``.
        engine: what computes, and why that, in a few words.
    """

    encoder: VoxelEncoder
    backend: str
    precision: str
    engine: str


def open_encoder(
    path: Path,
    device: str = "cpu",
    *,
    backend: str = "auto",
    precision: Precision | Literal["auto"] = "auto",
    seed: int = 0,
    head: HeadName = "text",
) -> OpenEncoder:
    """The encoder of a file, without PyTorch where that is possible.

    Args:
        path: a safetensors file of clip3d.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        backend: ``auto``, or a name of kind ``backends`` in the registry.
        precision: see `clip3d_cli.sparse.backend.Backend`.
        seed: of PyTorch, where it computes.
        head: which head answers: ``text`` compares with words, ``closed`` with the classes of
            `clip3d_cli.encoders.closed_head.closed_classes`.

    Raises:
        UsageError: there is no such backend.
        SetupError: E_BACKEND, the backend cannot run here; E_WEIGHTS, the file is no encoder, or
            has no such head.
    """
    if backend != "auto" and backend not in registry.names("backends"):
        raise registry.unknown_name("backends", backend, registry.names("backends"))
    spec, state = read_weights(path, head)
    hindrance = native_hindrance(device, backend, spec.architecture)
    if hindrance is None:
        wanted = "high" if precision == "auto" else precision
        encoder = NativeEncoder(spec, state, path, precision=wanted)
        engine = encoder.engine
        return OpenEncoder(
            encoder, NATIVE, engine.precision, f"native ({engine.isa}, {engine.threads} threads)"
        )
    import torch

    from clip3d_cli.encoders.weights_torch import encoder_of_state
    from clip3d_cli.sparse.backend import backend_named

    torch.manual_seed(seed)
    chosen = backend_named(backend, device, precision=precision)
    on_torch = encoder_of_state(spec, state, path, device=device, backend=chosen)
    return OpenEncoder(
        on_torch,
        chosen.name,
        chosen.precision,
        f"{chosen.name}, through PyTorch, because {hindrance}",
    )


def native_hindrance(
    device: str = "cpu", backend: str = "auto", architecture: str = ARCHITECTURE
) -> str | None:
    """Why PyTorch must compute rather than the native engine alone, or None if it need not."""
    if device != "cpu":
        return f"the native engine is for CPUs, not {device}"
    if backend not in ("auto", NATIVE):
        return f"--backend {backend} was asked for"
    if architecture != ARCHITECTURE:
        return f"the native engine alone knows no {architecture}"
    reason = status().reason
    return None if reason is None else f"the native engine is missing: {reason}"
