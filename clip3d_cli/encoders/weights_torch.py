"""Saving PyTorch encoders to weights files, and loading them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec, HeadName
from clip3d_cli.encoders.weights_file import (
    CLOSED_BIAS,
    CLOSED_WEIGHT,
    SPEC_KEY,
    State,
    check_tensors,
    read_weights,
    weights_error,
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
    """Write an encoder to a weights file, completely or not at all.

    Args:
        encoder: its parameters and specification are written; its head becomes the text head.
        path: the file; an older one is replaced only when the new one is complete.
        dtype: dtype of the parameters in the file. Running statistics and the closed head stay
            float32: a variance can exceed the range of float16, and K rows need little space.
        closed: (C → K) closed head: a linear layer that gives a logit for each class of
            ``encoder.spec.closed`` from the features that the text head reads. Without it the file
            has no closed head, whatever the specification says.

    Raises:
        ValueError: ``closed`` does not match the specification, or the encoder was opened with its
            closed head and so has no text head.
        OutputError: E_NO_SPACE, the disk is full; E_NOT_WRITABLE, no such folder or no permission.
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
    content = save(state, {SPEC_KEY: spec.to_json()})
    with atomic_write(path) as partial:
        # Written here, because safetensors' own save_file sets permissions for the owner only.
        partial.write_bytes(content)


def load_encoder(
    path: Path,
    device: torch.device | str = "cpu",
    *,
    backend: Backend | None = None,
    head: HeadName = "text",
) -> PointEncoder:
    """Load the encoder of a weights file, in evaluation mode, with float32 weights.

    Args:
        path: a file that `save_encoder` wrote.
        device: device of the weights.
        backend: see `PointEncoder`.
        head: which of the file's heads to use.

    Raises:
        SetupError: E_WEIGHTS: no such file, not safetensors, truncated, without a valid
            specification, without that head, or with tensors that do not match; the fault names
            them.
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
    """Return the encoder of what `read_weights` returned: see `load_encoder`."""
    try:
        encoder = PointEncoder(spec, backend=backend)
    except (Clip3DError, TypeError, ValueError, RuntimeError) as error:
        raise weights_error(path, f"specifies a network that cannot be built: {error}") from error
    load_state(encoder.network, state, path)
    return encoder.to(device).eval()


def load_state(network: nn.Module, state: State, path: Path) -> None:
    """Set all tensors of a network.

    Args:
        network: its tensors keep their dtypes.
        state: arrays by name.
        path: file they come from, for messages.

    Raises:
        SetupError: E_WEIGHTS, they are not exactly the network's tensors: see `check_tensors`.
    """
    own = network.state_dict()
    check_tensors({name: tuple(value.shape) for name, value in own.items()}, state, path)
    tensors = {name: torch.from_numpy(state[name]).to(own[name].dtype) for name in own}
    network.load_state_dict(tensors, strict=True, assign=True)


def _closed_state(encoder: PointEncoder, closed: nn.Linear) -> dict[str, Tensor]:
    """Return the tensors of a closed head after checking them against specification and network."""
    head = encoder.spec.closed
    if head is None:
        raise ValueError("a closed head needs the specification's closed head, with its classes")
    channels = encoder.network.get_parameter("head.weight").shape[1]
    expected, actual = (len(head.names), channels), tuple(closed.weight.shape)
    if actual != expected or closed.bias is None:
        raise ValueError(f"the closed head must be {expected} with a bias, not {actual}")
    tensors = {CLOSED_WEIGHT: closed.weight, CLOSED_BIAS: closed.bias}
    return {name: each.detach().float().cpu().contiguous() for name, each in tensors.items()}
