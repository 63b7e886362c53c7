"""What a file of weights holds, in numpy: whatever computes with them reads them here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize, safe_open

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.spec import ClosedHead, EncoderSpec, HeadName
from clip3d_cli.errors import SetupError

DESCRIPTION = "clip3d"
CLOSED_WEIGHT, CLOSED_BIAS = "closed.weight", "closed.bias"
Numbers = npt.NDArray[Any]
State = dict[str, Numbers]

_FETCH_AGAIN = "Fetch the file again; clip3d reads safetensors written by clip3d."
_FOREIGN = (
    (b"PK\x03\x04", "is a PyTorch archive, which can run code when it is read"),
    (b"\x80", "is a pickle, which can run code when it is read"),
    (b"version https://git-lfs", "is a Git LFS pointer, not the file itself"),
    (b"<", "is a web page, not weights"),
)
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8"}


def read_weights(path: Path, head: HeadName = "text") -> tuple[EncoderSpec, State]:
    """What the network is, and its tensors by name, numbers with a point as float32.

    Args:
        path: what `clip3d_cli.encoders.weights_torch.save_encoder` wrote.
        head: which of the file's heads is the network's; the other one is checked and left out.

    Raises:
        SetupError: E_WEIGHTS: not there, not safetensors, cut off, without or with a wrong
            description, with a closed head that does not fit it, or without the head asked for.
    """
    _refuse_foreign(path)
    try:
        raw = path.read_bytes()
        entries = deserialize(raw)  # type: ignore[no-untyped-call]
    except (SafetensorError, OSError) as error:
        raise weights_fault(path, f"is not a whole safetensors file: {error}") from error
    length = int.from_bytes(raw[:8], "little")
    described = json.loads(raw[8 : 8 + length]).get("__metadata__", {})
    spec = _spec_of_text(path, described.get(DESCRIPTION))
    if head == "closed":
        require_closed(spec, path)
    state = {name: _array(path, name, entry) for name, entry in sorted(entries)}
    return _through(head, spec, state, path)


def read_spec(path: Path) -> EncoderSpec:
    """What the network of a file is, without reading its tensors.

    Raises:
        SetupError: E_WEIGHTS: not there, not safetensors, cut off, or without or with a wrong
            description.
    """
    _refuse_foreign(path)
    try:
        with safe_open(path, framework="numpy") as file:
            described = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise weights_fault(path, f"is not a whole safetensors file: {error}") from error
    return _spec_of_text(path, described.get(DESCRIPTION))


def require_closed(spec: EncoderSpec, path: Path) -> ClosedHead:
    """The closed head of a file.

    Raises:
        SetupError: E_WEIGHTS: it has none.
    """
    if spec.closed is None:
        raise SetupError(
            "E_WEIGHTS",
            path,
            "has no closed head",
            "Train one with clip3d finetune, or label by words with --head text.",
        )
    return spec.closed


def check_tensors(own: Mapping[str, tuple[int, ...]], state: State, path: Path) -> None:
    """Refuse tensors that are not exactly a network's own.

    Args:
        own: the network's names and shapes.
        state: the file's.
        path: where they come from, for messages.

    Raises:
        SetupError: E_WEIGHTS: a name is missing or unexpected, a shape differs, or a number is
            not finite; it names them.
    """
    missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or unexpected:
        raise weights_fault(path, f"missing: {_some(missing)}; unexpected: {_some(unexpected)}")
    wrong = [
        f"{name} {state[name].shape} instead of {own[name]}"
        for name in sorted(own)
        if state[name].shape != own[name]
    ]
    if wrong:
        raise weights_fault(path, f"has tensors of wrong shape: {_some(wrong)}")
    lost = [name for name in sorted(state) if not np.isfinite(state[name]).all()]
    if lost:
        raise weights_fault(path, f"has numbers that are not finite: {_some(lost)}")


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex: what a report says to name its weights."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def weights_fault(path: Path, fault: str) -> SetupError:
    """The refusal of a file of weights."""
    return SetupError("E_WEIGHTS", path, fault, _FETCH_AGAIN)


def _refuse_foreign(path: Path) -> None:
    if path.is_dir():
        inside = sorted(path.glob("*.safetensors"))
        remedy = f"Name the file in it: {inside[0]}." if inside else "Name a .safetensors file."
        raise SetupError("E_WEIGHTS", path, "is a folder", remedy)
    if not path.is_file():
        raise weights_fault(path, "is not there")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise weights_fault(path, f"cannot be read: {error.strerror}") from error
    if not head:
        raise weights_fault(path, "is empty")
    for magic, fault in _FOREIGN:
        if head.lstrip().startswith(magic) and not _has_safetensors_head(path, head):
            raise weights_fault(path, fault)


def _has_safetensors_head(path: Path, head: bytes) -> bool:
    """Whether a safetensors header is there, whose length may begin with any byte."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and length < path.stat().st_size


def _through(
    head: HeadName, spec: EncoderSpec, state: State, path: Path
) -> tuple[EncoderSpec, State]:
    """The spec and the tensors of the network that answers through one of a file's heads."""
    layer = {name: state.pop(name) for name in (CLOSED_WEIGHT, CLOSED_BIAS) if name in state}
    if spec.closed is None:
        if layer:
            raise weights_fault(path, f"has {min(layer)} but describes no closed head")
        return spec, state
    classes, text = len(spec.closed.names), state.get("head.weight")
    channels = text.shape[1] if text is not None and text.ndim == 2 else 0
    check_tensors({CLOSED_WEIGHT: (classes, channels), CLOSED_BIAS: (classes,)}, layer, path)
    if head == "text":
        return spec, state
    state.update({"head.weight": layer[CLOSED_WEIGHT], "head.bias": layer[CLOSED_BIAS]})
    return spec.through_closed_head(), state


def _array(path: Path, name: str, entry: Mapping[str, Any]) -> Numbers:
    kind, shape = entry["dtype"], entry["shape"]
    if kind == "BF16":
        # A float32 without its lower half, which numpy has no type for.
        halves = np.frombuffer(entry["data"], dtype="<u2").astype(np.uint32)
        widened: Numbers = (halves << 16).view(np.float32).reshape(shape)
        return widened
    if kind not in _DTYPES:
        raise weights_fault(path, f"has numbers of type {kind} in {name}")
    array: Numbers = np.frombuffer(entry["data"], dtype=_DTYPES[kind]).reshape(shape)
    return array if kind == "I64" else array.astype(np.float32)


def _spec_of_text(path: Path, text: str | None) -> EncoderSpec:
    if text is None:
        raise weights_fault(path, f"has no {DESCRIPTION!r} description of its network")
    try:
        return _spec_of_fields(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise weights_fault(path, f"has a description that cannot be read: {error}") from error


def _spec_of_fields(fields: dict[str, Any]) -> EncoderSpec:
    if not isinstance(fields["text_encoder"], str):
        raise TypeError("text_encoder is no name")
    for key in ("config", "provenance"):
        if not isinstance(fields.get(key, {}), dict):
            raise TypeError(f"{key} is no table")
    if not all(isinstance(name, str) for name in fields["inputs"]):
        raise TypeError("inputs are no names")
    return EncoderSpec(
        **{
            **fields,
            "closed": _closed_of_fields(fields.get("closed")),
            "inputs": tuple(fields["inputs"]),
            "voxel_sizes_m": tuple(float(size) for size in fields["voxel_sizes_m"]),
            "space": FeatureSpace(**fields["space"]),
        }
    )


def _closed_of_fields(fields: dict[str, Any] | None) -> ClosedHead | None:
    if fields is None:
        return None
    if not isinstance(fields, dict):
        raise TypeError("closed is no table")
    unknown = sorted(set(fields) - set(ClosedHead.__slots__))
    if unknown:
        raise ValueError(f"the closed head: it has an unknown key {unknown[0]!r}")
    for key in ("vocabulary", "names", "class_ids", "colors"):
        if key not in fields:
            raise ValueError(f"the closed head: it has no {key}")
        if key != "vocabulary" and not isinstance(fields[key], list):
            raise TypeError(f"the closed head: its {key} are no list")
    return ClosedHead(
        **{
            **fields,
            "names": tuple(fields["names"]),
            "class_ids": tuple(fields["class_ids"]),
            "colors": tuple(tuple(color) for color in fields["colors"]),
        }
    )


def _some(names: list[str], shown: int = 5) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
