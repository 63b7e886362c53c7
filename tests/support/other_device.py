"""A stand-in for a GPU, and a record of the devices that networks are opened on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from clip3d_cli.labelling import open_encoder as opening
from clip3d_cli.pipelines.evaluate import weights as evaluating
from clip3d_cli.text import encoder as texts
from clip3d_cli.training.distributed import World


@dataclass(frozen=True, slots=True)
class OtherDevice(World):
    """A process whose device has another name than the default; PyTorch computes on the CPU."""

    @property
    def device(self) -> torch.device:
        return torch.device("cpu", 0)


@dataclass(frozen=True)
class Opened:
    """What an evaluation opened.

    Attributes:
        networks: file name, device and head of each.
        text_encoders: the names.
    """

    networks: list[tuple[str, str, str]]
    text_encoders: list[str]


def record_evaluations(monkeypatch: pytest.MonkeyPatch) -> Opened:
    opened = Opened([], [])

    def open_encoder(path: Path, device: str = "cpu", **options: Any) -> Any:
        opened.networks.append((path.name, device, options.get("head", "text")))
        return opening.open_encoder(path, "cpu", **options)

    def open_text_encoder(name: str) -> Any:
        opened.text_encoders.append(name)
        return texts.open_text_encoder(name)

    monkeypatch.setattr(evaluating, "open_encoder", open_encoder)
    monkeypatch.setattr(evaluating, "open_text_encoder", open_text_encoder)
    return opened
