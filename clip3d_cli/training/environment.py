"""What a training ran with: all that could change its numbers besides its configuration."""

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
_GIT_SECONDS = 10


def versions_here(command_line: Sequence[str], device: torch.device) -> dict[str, Any]:
    """Versions, machine and command, fit for JSON.

    Args:
        command_line: what the user typed.
        device: where the network computes.
    """
    return {
        "clip3d": clip3d_cli.__version__,
        "git_commit": _git_commit(Path(clip3d_cli.__file__).resolve().parents[1]),
        "python": platform.python_version(),
        **{name: _version_of(name) for name in _PACKAGES},
        "cuda": torch.version.cuda,
        "platform": platform.platform(),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "command_line": list(command_line),
    }


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit(folder: Path) -> str | None:
    """The commit of a source tree, marked if files differ from it; None for what is no tree."""
    # Git would look further up, and find a repository that only holds the environment.
    if not (folder / ".git").exists():
        return None
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()


def _device_name(device: torch.device) -> str:
    if device.type != "cuda":
        return f"{device} ({platform.processor() or platform.machine()})"
    return f"{device} ({torch.cuda.get_device_name(device)})"
