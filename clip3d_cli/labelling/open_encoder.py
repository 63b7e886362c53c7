"""Open the point encoder of a weights file with the engine that suits the machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clip3d_cli import registry
from clip3d_cli.encoders.native_encoder import ARCHITECTURE, NativeEncoder
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.encoders.weights_file import read_weights
from clip3d_cli.labelling.installation import require_torch
from clip3d_cli.native.library import engine_status

if TYPE_CHECKING:
    from clip3d_cli.encoders.spec import EncoderSpec, HeadName
    from clip3d_cli.sparse.backend import Precision

NATIVE = "native"


@dataclass(frozen=True, slots=True)
class OpenEncoder:
    """A point encoder, ready on its device.

    Attributes:
        encoder: the encoder.
        backend: name of the sparse-convolution backend.
        precision: precision of matrix products: ``exact``, ``high`` or ``fast``.
        engine: the backend and why it was chosen, for people.
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
    head: HeadName = "text",
) -> OpenEncoder:
    """Open the point encoder of a weights file, without importing PyTorch where possible.

    Args:
        path: safetensors file of clip3d.
        device: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        backend: ``auto``, or a name of kind ``backends`` in the registry.
        precision: see `clip3d_cli.sparse.backend.Backend`.
        head: ``text`` compares voxels with words, ``closed`` with the classes of
            `clip3d_cli.encoders.closed_head.closed_classes`.

    Raises:
        UsageError: E_UNKNOWN_NAME: there is no such backend.
        SetupError: E_BACKEND: the backend cannot run here; E_WEIGHTS: the file holds no encoder,
            or no such head.
    """
    if backend != "auto" and backend not in registry.names("backends"):
        raise registry.unknown_name_error("backends", backend, registry.names("backends"))
    spec, state = read_weights(path, head)
    reason = why_not_native(device, backend, spec.architecture)
    if reason is None:
        native = NativeEncoder(
            spec, state, path, precision="high" if precision == "auto" else precision
        )
        engine = native.engine
        described = f"native ({engine.isa}, {engine.threads} threads)"
        return OpenEncoder(native, NATIVE, engine.precision, described)
    require_torch("E_BACKEND", "the point encoder", reason, _without_torch(device, backend, spec))
    from clip3d_cli.encoders.weights_torch import encoder_of_state
    from clip3d_cli.sparse.backend import select_backend

    chosen = select_backend(backend, device, precision=precision)
    encoder = encoder_of_state(spec, state, path, device=device, backend=chosen)
    described = f"{chosen.name}, through PyTorch, because {reason}"
    return OpenEncoder(encoder, chosen.name, chosen.precision, described)


def why_not_native(
    device: str = "cpu", backend: str = "auto", architecture: str = ARCHITECTURE
) -> str | None:
    """Return why the native engine cannot run the encoder, or None if it can."""
    if device != "cpu":
        return f"the native engine runs on CPUs, not on {device}"
    if backend not in ("auto", NATIVE):
        return f"--backend {backend} was requested"
    if architecture != ARCHITECTURE:
        return f"the native engine does not support {architecture}"
    reason = engine_status().fault
    return None if reason is None else f"the native engine is missing: {reason}"


def _without_torch(device: str, backend: str, spec: EncoderSpec) -> str:
    """Return what users can do instead of installing PyTorch, a clause."""
    if device != "cpu" or backend not in ("auto", NATIVE):
        return "label on the CPU with --device cpu and --backend native"
    if spec.architecture != ARCHITECTURE:
        return f"use weights of a {ARCHITECTURE}"
    return "build the native engine: python -m clip3d_cli.native.build (needs a C compiler)"
