"""Encoders on disk: safetensors whose metadata say all that is needed to use them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from clip3d_cli.core.words import FeatureSpace
from clip3d_cli.encoders.encoder import EncoderSpec, PointEncoder
from clip3d_cli.errors import Clip3DError, OutputError, SetupError
from clip3d_cli.sparse.backend import Backend

_KEY = "clip3d"
_FETCH_AGAIN = "Fetch the file again; clip3d reads safetensors written by clip3d."
_FOREIGN = (
    (b"PK\x03\x04", "is a PyTorch archive, which can run code when it is read"),
    (b"\x80", "is a pickle, which can run code when it is read"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself"),
    (b"<", "is a web page, not weights"),
)


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
        save_file(state, part, metadata={_KEY: json.dumps(asdict(encoder.spec), sort_keys=True)})
        part.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(
            "E_NOT_WRITABLE", path, f"cannot be written: {error}", "Choose another folder."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def load_encoder(
    path: Path,
    device: torch.device | str = "cpu",
    *,
    backend: Backend | None = None,
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
    _refuse_foreign(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(_KEY)
            state = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError) as error:
        raise _fault(path, f"is not a whole safetensors file: {error}") from error
    spec = _spec_of_text(path, text)
    try:
        encoder = PointEncoder(spec, backend=backend)
    except (Clip3DError, TypeError, ValueError, RuntimeError) as error:
        raise _fault(path, f"describes a network that cannot be built: {error}") from error
    load_state(encoder.network, state, path)
    return encoder.to(device).eval()


def load_state(network: torch.nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Fill a network with exactly its own tensors.

    Raises:
        SetupError: E_WEIGHTS: a key is missing or unexpected, a shape differs, or a number is not
            finite; it names them.
    """
    own = network.state_dict()
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or unexpected:
        raise _fault(path, f"missing: {_some(missing)}; unexpected: {_some(unexpected)}")
    wrong = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own)
        if own[name].shape != state[name].shape
    ]
    if wrong:
        raise _fault(path, f"has tensors of wrong shape: {_some(wrong)}")
    lost = [name for name in sorted(state) if not torch.isfinite(state[name]).all()]
    if lost:
        raise _fault(path, f"has numbers that are not finite: {_some(lost)}")
    network.load_state_dict(
        {name: value.to(own[name].dtype) for name, value in state.items()}, strict=True
    )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex: what a report says to name its weights."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _refuse_foreign(path: Path) -> None:
    if not path.is_file():
        raise _fault(path, "is not there")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise _fault(path, f"cannot be read: {error.strerror}") from error
    if not head:
        raise _fault(path, "is empty")
    for magic, fault in _FOREIGN:
        if head.lstrip().startswith(magic) and not _has_safetensors_head(path, head):
            raise _fault(path, fault)


def _has_safetensors_head(path: Path, head: bytes) -> bool:
    """Whether a safetensors header is there, whose length may begin with any byte."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length < path.stat().st_size


def _spec_of_text(path: Path, text: str | None) -> EncoderSpec:
    if text is None:
        raise _fault(path, f"has no {_KEY!r} description of its network")
    try:
        fields = json.loads(text)
        return _spec_of_fields(fields)
    except (ValueError, TypeError, KeyError) as error:
        raise _fault(path, f"has a description that cannot be read: {error}") from error


def _spec_of_fields(fields: dict[str, Any]) -> EncoderSpec:
    if not isinstance(fields["text_encoder"], str):
        raise TypeError("text_encoder is no name")
    return EncoderSpec(
        **{
            **fields,
            "inputs": tuple(fields["inputs"]),
            "voxel_sizes_m": tuple(float(size) for size in fields["voxel_sizes_m"]),
            "space": FeatureSpace(**fields["space"]),
        }
    )


def _some(names: list[str], shown: int = 5) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _fault(path: Path, fault: str) -> SetupError:
    return SetupError("E_WEIGHTS", path, fault, _FETCH_AGAIN)
