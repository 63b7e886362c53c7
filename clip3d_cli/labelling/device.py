"""Choose the device of a network, and import PyTorch only if there may be a GPU."""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from pathlib import Path

from clip3d_cli.errors import SetupError, UsageError
from clip3d_cli.labelling.installation import has_torch, require_torch

_CUDA_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_ROCM_DRIVER = Path("/dev/kfd")


def choose_device(name: str) -> tuple[str, str]:
    """Return a device and why it was chosen, in a few words.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; ``auto`` prefers CUDA to MPS to the CPU.

    Raises:
        UsageError: E_DEVICE: the name is none of these.
        SetupError: E_DEVICE: this machine has no such device.
    """
    if name == "cpu":
        return name, "as requested"
    if name == "auto":
        if not may_have_gpu():
            return "cpu", "found no GPU"
        return _best_device() if has_torch() else ("cpu", "GPUs need PyTorch, not installed here")
    match = re.fullmatch(r"mps|cuda(?::(\d+))?", name)
    if match is None:
        raise UsageError(
            "E_DEVICE", "--device", f"there is no {name!r}", "Use auto, cpu, cuda, cuda:N or mps."
        )
    reason = "clip3d uses GPUs through it"
    require_torch("E_DEVICE", f"--device {name}", reason, "use --device cpu")
    if name.startswith("cuda"):
        _require_cuda(int(match[1] or 0))
    else:
        _require_mps()
    return name, "as requested"


def device_names() -> list[str]:
    """Return the devices of this machine, with the model of each GPU; may import PyTorch."""
    if not has_torch():
        return ["cpu"]
    import torch

    cuda = [
        f"cuda:{index} ({torch.cuda.get_device_name(index)})"
        for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    return [*cuda, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def may_have_gpu() -> bool:
    """Return whether PyTorch might find a GPU.

    Asks the drivers, because importing PyTorch takes seconds.
    """
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return _ROCM_DRIVER.exists() or _has_cuda_devices()


def _has_cuda_devices() -> bool:
    try:
        driver = ctypes.CDLL(_CUDA_DRIVER)
    except OSError:
        return False
    count = ctypes.c_int(0)
    return (
        driver.cuInit(0) == 0
        and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
        and count.value > 0
    )


def _best_device() -> tuple[str, str]:
    try:
        import torch
    except ImportError:
        # A light installation labels on the CPU without PyTorch.
        return "cpu", "PyTorch is not installed"
    if torch.cuda.is_available():
        return "cuda", f"found {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return "mps", "found Apple's GPU"
    return "cpu", "PyTorch found no GPU that it can use"


def _require_mps() -> None:
    import torch

    if not torch.backends.mps.is_available():
        raise SetupError(
            "E_DEVICE", "--device", "this machine has no MPS device", "Use --device cpu."
        )


def _require_cuda(index: int) -> None:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index < count:
        return
    if torch.version.cuda is None:
        fault, remedy = "this torch was built without CUDA", "Install a CUDA build of torch"
    elif count == 0:
        fault, remedy = "no CUDA device is available", "Check nvidia-smi and the driver"
    else:
        fault, remedy = f"there are {count} CUDA devices, counted from 0", "Name one of these"
    raise SetupError("E_DEVICE", f"cuda:{index}", fault, f"{remedy}, or use --device cpu.")
