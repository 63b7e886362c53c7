"""Where a network runs, and why there."""

from __future__ import annotations

import re

import torch

from clip3d_cli.errors import SetupError, UsageError


def choose_device(name: str) -> tuple[torch.device, str]:
    """The device of a name, and why it is that one, in a few words.

    Args:
        name: ``auto`` takes CUDA, then MPS, then the CPU; or ``cpu``, ``cuda``, ``cuda:N``,
            ``mps``.

    Raises:
        UsageError: the name is none of these.
        SetupError: this machine has no such device.
    """
    if name == "auto":
        return _best_device()
    match = re.fullmatch(r"cpu|mps|cuda(?::(\d+))?", name)
    if match is None:
        raise UsageError(
            "E_DEVICE", "--device", f"there is no {name!r}", "Use auto, cpu, cuda, cuda:N or mps."
        )
    if name.startswith("cuda"):
        _require_cuda(int(match[1] or 0))
    if name == "mps" and not torch.backends.mps.is_available():
        raise SetupError(
            "E_DEVICE", "--device", "this machine has no MPS device", "Use --device cpu."
        )
    return torch.device(name), "as asked"


def device_names() -> list[str]:
    """The devices of this machine that can be asked for, with the model of each GPU."""
    cuda = [
        f"cuda:{index} ({torch.cuda.get_device_name(index)})"
        for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _best_device() -> tuple[torch.device, str]:
    if torch.cuda.is_available():
        return torch.device("cuda"), f"found {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return torch.device("mps"), "found Apple's GPU"
    return torch.device("cpu"), "found no GPU"


def _require_cuda(index: int) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index < count:
        return
    if torch.version.cuda is None:
        fault, remedy = "this torch was built without CUDA", "Install a CUDA build of torch"
    elif count == 0:
        fault, remedy = "no CUDA device is in reach", "Check nvidia-smi and the driver"
    else:
        fault, remedy = f"there are {count} CUDA devices, counted from 0", "Name one of these"
    raise SetupError("E_DEVICE", f"cuda:{index}", fault, f"{remedy}, or use --device cpu.")
