"""Encoders on disk: safetensors whose metadata say all that is needed to use them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from clip3d_cli.encoders.encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.stored import (
    DESCRIPTION,
    State,
    check_tensors,
    read_weights,
    weights_fault,
)
from clip3d_cli.errors import Clip3DError, OutputError
from clip3d_cli.sparse.backend import Backend


def save_encoder(encoder: PointEncoder, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write an encoder whole or not at all.

    Args:
        encoder: its parameters and its spec are written.
        path: the file; it is replaced only when the new one is complete.
        dtype: of the parameters in the file; running statistics stay float32, for a variance
            can leave the range of float16.

    Raises:
        OutputError: E_NOT_WRITABLE: no such folder, no permission, no space.
    """
    parameters = {name for name, _ in encoder.network.named_parameters()}
    state = {
        name: (value.to(dtype) if name in parameters else value).detach().cpu().contiguous()
        for name, value in encoder.network.state_dict().items()
    }
    part = path.with_name(path.name + ".part")
    try:
        save_file(
            state, part, metadata={DESCRIPTION: json.dumps(asdict(encoder.spec), sort_keys=True)}
        )
        part.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(
            "E_NOT_WRITABLE", path, f"cannot be written: {error}", "Choose another folder."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def load_encoder(
    path: Path, device: torch.device | str = "cpu", *, backend: Backend | None = None
) -> PointEncoder:
    """The encoder of a file, in evaluation mode, its weights in float32.

    Args:
        path: what `save_encoder` wrote.
        device: where the weights go.
        backend: see `PointEncoder`.

    Raises:
        SetupError: E_WEIGHTS: not there, not safetensors, cut off, without or with a wrong
            description, or with tensors that do not fit; the fault names them.
    """
    return encoder_of_state(*read_weights(path), path, device=device, backend=backend)


def encoder_of_state(
    spec: EncoderSpec,
    state: State,
    path: Path,
    *,
    device: torch.device | str = "cpu",
    backend: Backend | None = None,
) -> PointEncoder:
    """The encoder of what `read_weights` read from a file: see `load_encoder`."""
    try:
        encoder = PointEncoder(spec, backend=backend)
    except (Clip3DError, TypeError, ValueError, RuntimeError) as error:
        raise weights_fault(path, f"describes a network that cannot be built: {error}") from error
    load_state(encoder.network, state, path)
    return encoder.to(device).eval()


def load_state(network: torch.nn.Module, state: State, path: Path) -> None:
    """Give a network exactly its own tensors.

    Raises:
        SetupError: E_WEIGHTS: see `check_tensors`.
    """
    own = network.state_dict()
    check_tensors({name: tuple(value.shape) for name, value in own.items()}, state, path)
    tensors = {name: torch.from_numpy(state[name]).to(own[name].dtype) for name in own}
    network.load_state_dict(tensors, strict=True, assign=True)
