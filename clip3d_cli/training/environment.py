"""Environment of a training: what could change its numbers besides its config."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import clip3d_cli

_PACKAGES = ("numpy", "open_clip_torch", "safetensors", "torch")
_GIT_TIMEOUT_S = 10


def environment_info(command_line: Sequence[str], device: torch.device) -> dict[str, Any]:
    """Return versions, commit, machine, device, threads and command line, fit for JSON.

    Args:
        command_line: what the user typed.
        device: device that trains.
    """
    return {
        "clip3d": clip3d_cli.__version__,
        "git_commit": _git_commit(Path(clip3d_cli.__file__).resolve().parents[1]),
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "cuda": torch.version.cuda,
        "platform": platform.platform(),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "command_line": list(command_line),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit(folder: Path) -> str | None:
    """Return the commit of a source tree, with "-dirty" for changes; None for other folders."""
    # Git also searches the folders above, and could find a repository that has nothing to do with
    # clip3d, such as one that holds the virtual environment.
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _device_name(device: torch.device) -> str:
    if device.type != "cuda":
        return f"{device} ({platform.processor() or platform.machine()})"
    return f"{device} ({torch.cuda.get_device_name(device)})"
