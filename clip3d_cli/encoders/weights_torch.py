"""Encoders on disk: safetensors whose metadata say all that is needed to use them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec, HeadName
from clip3d_cli.encoders.weights_file import (
    CLOSED_BIAS,
    CLOSED_WEIGHT,
    DESCRIPTION,
    State,
    check_tensors,
    read_weights,
    weights_fault,
)
from clip3d_cli.errors import Clip3DError
from clip3d_cli.formats.atomic import atomic_write
from clip3d_cli.sparse.backend import Backend


def save_encoder(
    encoder: PointEncoder,
    path: Path,
    dtype: torch.dtype = torch.float16,
    *,
    closed: nn.Linear | None = None,
) -> None:
    """Write an encoder, with its closed head if one is given, whole or not at all.

    Args:
        encoder: its parameters and its spec are written; its own head is the text head.
        path: the file; it is replaced only when the new one is complete.
        dtype: of the parameters in the file; running statistics and the closed head stay
            float32: a variance can leave the range of float16, and K rows take no space.
        closed: (C → K), the layer that gives a logit for each class of ``encoder.spec.closed``
            from what the text head sees too. Without it the file has no closed head, whatever
            the spec says.

    Raises:
        ValueError: the closed layer is not that of the spec, or the encoder answers through its
            closed head and has no text head to write.
        OutputError: E_NO_SPACE, or E_NOT_WRITABLE: no such folder, no permission.
    """
    if encoder.spec.head == "closed":
        raise ValueError("the encoder was opened with its closed head: it has no text head")
    spec = replace(encoder.spec, closed=None) if closed is None else encoder.spec
    parameters = {name for name, _ in encoder.network.named_parameters()}
    state = {
        name: (value.to(dtype) if name in parameters else value).detach().cpu().contiguous()
        for name, value in encoder.network.state_dict().items()
    }
    if closed is not None:
        state |= _closed_state(encoder, closed)
    blob = save(state, {DESCRIPTION: _described(spec)})
    with atomic_write(path) as part:
        # safetensors would write a file that nobody else may read.
        part.write_bytes(blob)


def load_encoder(
    path: Path,
    device: torch.device | str = "cpu",
    *,
    backend: Backend | None = None,
    head: HeadName = "text",
) -> PointEncoder:
    """The encoder of a file, in evaluation mode, its weights in float32.

    Args:
        path: what `save_encoder` wrote.
        device: where the weights go.
        backend: see `PointEncoder`.
        head: which of the file's heads answers.

    Raises:
        SetupError: E_WEIGHTS: not there, not safetensors, cut off, without or with a wrong
            description, without that head, or with tensors that do not fit; the fault names them.
    """
    return encoder_of_state(*read_weights(path, head), path, device=device, backend=backend)


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


def _described(spec: EncoderSpec) -> str:
    fields = asdict(spec)
    if spec.closed is None:
        # As files were before there were closed heads, for readers of that time.
        del fields["closed"]
    return json.dumps(fields, sort_keys=True)


def _closed_state(encoder: PointEncoder, closed: nn.Linear) -> dict[str, Tensor]:
    """The tensors of a closed layer, checked against the spec and the text head."""
    head = encoder.spec.closed
    if head is None:
        raise ValueError("a closed layer needs the spec's closed head, which names its classes")
    channels = encoder.network.get_parameter("head.weight").shape[1]
    wanted, found = (len(head.names), channels), tuple(closed.weight.shape)
    if found != wanted or closed.bias is None:
        raise ValueError(f"the closed layer must be {wanted} with a bias, not {found}")
    tensors = {CLOSED_WEIGHT: closed.weight, CLOSED_BIAS: closed.bias}
    return {name: each.detach().float().cpu().contiguous() for name, each in tensors.items()}
