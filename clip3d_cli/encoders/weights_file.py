"""Reading weights files: a network's specification and its tensors as numpy arrays.

A weights file is a safetensors file whose metadata have the specification under ``clip3d``. Files
are written by `clip3d_cli.encoders.weights_torch.save_encoder`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize, safe_open

from clip3d_cli.encoders.closed_head import ClosedHead
from clip3d_cli.encoders.spec import EncoderSpec, HeadName
from clip3d_cli.errors import SetupError

SPEC_KEY = "clip3d"
CLOSED_WEIGHT, CLOSED_BIAS = "closed.weight", "closed.bias"
Numbers = npt.NDArray[Any]
State = dict[str, Numbers]
"""Tensors of a network by name: floating point as float32, counters as int64."""

_OTHER_WEIGHTS = "Use a file that this version of clip3d or an older one has written."
_COPY_AGAIN = "Copy or download the file again."
# First bytes of files that are often mistaken for weights: what they are, and what to do.
_FOREIGN = (
    (
        b"PK\x03\x04",
        "is a PyTorch archive, which can run code when it is read",
        _OTHER_WEIGHTS,
    ),
    (b"\x80", "is a pickle, which can run code when it is read", _OTHER_WEIGHTS),
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, not the file itself",
        "Run git lfs pull, or download the file itself.",
    ),
    (b"<", "is a web page, not weights", "Download the file itself, not the page about it."),
)
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8"}


def read_weights(path: Path, head: HeadName = "text") -> tuple[EncoderSpec, State]:
    """Read a weights file.

    Args:
        path: a file that `clip3d_cli.encoders.weights_torch.save_encoder` wrote.
        head: which of the file's heads to use; the other one is checked and left out.

    Returns:
        Specification of the network; its tensors by name, floating point as float32.

    Raises:
        SetupError: E_WEIGHTS: no such file, not safetensors, truncated, without a valid
            specification, a closed head that does not match it, or no such head.
    """
    _check_first_bytes(path)
    try:
        content = path.read_bytes()
        entries = deserialize(content)  # type: ignore[no-untyped-call]
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    # A safetensors file begins with the length of its JSON header, 8 bytes little endian.
    # deserialize returns the tensors only, so the metadata are taken from the header itself.
    header_length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + header_length]).get("__metadata__", {})
    spec = _spec_of(metadata, path)
    if head == "closed":
        require_closed(spec, path)
    state = {name: _array(path, name, entry) for name, entry in sorted(entries)}
    return _with_head(head, spec, state, path)


def read_spec(path: Path) -> EncoderSpec:
    """Read the specification of a weights file without its tensors.

    Raises:
        SetupError: E_WEIGHTS: no such file, not safetensors, truncated, or without a valid
            specification.
    """
    _check_first_bytes(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error
    return _spec_of(metadata, path)


def require_closed(spec: EncoderSpec, path: Path) -> ClosedHead:
    """Return the closed head of a weights file.

    Args:
        spec: specification of the file.
        path: the file, for messages.

    Raises:
        SetupError: E_WEIGHTS, it has none.
    """
    if spec.closed is None:
        raise SetupError(
            "E_WEIGHTS",
            path,
            "has no closed head",
            "Train one with clip3d finetune, or label by words with --head text.",
        )
    return spec.closed


def check_tensors(expected: Mapping[str, tuple[int, ...]], state: State, path: Path) -> None:
    """Check that tensors are exactly those of a network.

    Args:
        expected: shapes of the network's tensors by name.
        state: tensors of the file by name.
        path: the file, for messages.

    Raises:
        SetupError: E_WEIGHTS: a tensor is missing or unexpected, has another shape, or has numbers
            that are not finite; the message names it.
    """
    missing = sorted(set(expected) - set(state))
    unexpected = sorted(set(state) - set(expected))
    if missing or unexpected:
        raise weights_error(path, f"missing: {_some(missing)}; unexpected: {_some(unexpected)}")
    wrong = [
        f"{name} {state[name].shape} instead of {expected[name]}"
        for name in sorted(expected)
        if state[name].shape != expected[name]
    ]
    if wrong:
        raise weights_error(path, f"has tensors of wrong shape: {_some(wrong)}")
    not_finite = [name for name in sorted(state) if not np.isfinite(state[name]).all()]
    if not_finite:
        raise weights_error(path, f"has numbers that are not finite: {_some(not_finite)}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal, by which reports identify weights."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def weights_error(path: Path, fault: str, remedy: str = _OTHER_WEIGHTS) -> SetupError:
    """Return the error E_WEIGHTS of a weights file."""
    return SetupError("E_WEIGHTS", path, fault, remedy)


def _damaged(path: Path, error: Exception) -> SetupError:
    return weights_error(path, f"is not a complete safetensors file: {error}", _COPY_AGAIN)


def _check_first_bytes(path: Path) -> None:
    """Reject what cannot be a weights file, with a message that says what it is."""
    if path.is_dir():
        inside = sorted(path.glob("*.safetensors"))
        remedy = f"Name the file in it: {inside[0]}." if inside else "Name a .safetensors file."
        raise weights_error(path, "is a folder", remedy)
    if not path.is_file():
        raise weights_error(path, "does not exist", "Check the path.")
    try:
        with path.open("rb") as file:
            first = file.read(64)
    except OSError as error:
        raise weights_error(
            path, f"cannot be read: {error.strerror}", "Check its permissions."
        ) from error
    if not first:
        raise weights_error(path, "is empty", _COPY_AGAIN)
    for magic, fault, remedy in _FOREIGN:
        if first.lstrip().startswith(magic) and not _has_safetensors_header(path, first):
            raise weights_error(path, fault, remedy)


def _has_safetensors_header(path: Path, first: bytes) -> bool:
    """Whether the file begins as safetensors do; the bytes of the length may look like a magic."""
    length = int.from_bytes(first[:8], "little")
    return first[8:9] == b"{" and length < path.stat().st_size


def _with_head(
    head: HeadName, spec: EncoderSpec, state: State, path: Path
) -> tuple[EncoderSpec, State]:
    """Return specification and tensors of the network with one of its heads.

    The network's last layer is called ``head`` in both cases.
    """
    closed_layer = {name: state.pop(name) for name in (CLOSED_WEIGHT, CLOSED_BIAS) if name in state}
    if spec.closed is None:
        if closed_layer:
            raise weights_error(
                path, f"has {min(closed_layer)}, but its specification has no closed head"
            )
        return spec, state
    classes, text_weight = len(spec.closed.names), state.get("head.weight")
    is_matrix = text_weight is not None and text_weight.ndim == 2
    channels = text_weight.shape[1] if text_weight is not None and is_matrix else 0
    expected = {CLOSED_WEIGHT: (classes, channels), CLOSED_BIAS: (classes,)}
    check_tensors(expected, closed_layer, path)
    if head == "text":
        return spec, state
    state.update(
        {"head.weight": closed_layer[CLOSED_WEIGHT], "head.bias": closed_layer[CLOSED_BIAS]}
    )
    return spec.through_closed_head(), state


def _array(path: Path, name: str, entry: Mapping[str, Any]) -> Numbers:
    dtype, shape = entry["dtype"], entry["shape"]
    if dtype == "BF16":
        # numpy has no bfloat16. It is the upper half of a float32, so the bits are moved there.
        halves = np.frombuffer(entry["data"], dtype="<u2").astype(np.uint32)
        widened: Numbers = (halves << 16).view(np.float32).reshape(shape)
        return widened
    if dtype not in _DTYPES:
        raise weights_error(path, f"has numbers of the unsupported type {dtype} in {name}")
    array: Numbers = np.frombuffer(entry["data"], dtype=_DTYPES[dtype]).reshape(shape)
    return array if dtype == "I64" else array.astype(np.float32)


def _spec_of(metadata: Mapping[str, str], path: Path) -> EncoderSpec:
    text = metadata.get(SPEC_KEY)
    if text is None:
        raise weights_error(path, f"has no specification {SPEC_KEY!r} of its network")
    try:
        return EncoderSpec.from_json(text)
    except (ValueError, TypeError) as error:
        raise weights_error(path, f"has an invalid specification: {error}") from error


def _some(names: list[str], shown: int = 5) -> str:
    """List the first names, and say how many more there are."""
    if not names:
        return "none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
