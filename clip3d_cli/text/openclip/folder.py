"""A folder that holds one model as open_clip writes it, with what clip3d may say of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip3d_cli.core.vocabulary import FeatureSpace
from clip3d_cli.errors import SetupError

CONFIG = "open_clip_config.json"
WEIGHTS = "open_clip_model.safetensors"
OURS = "clip3d.json"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What the files beside the weights say.

    Attributes:
        identity: the folder's name and a digest of what is in it: no other model has it.
        settings: open_clip's description of the network.
        space: where its vectors live.
        text_encoder: what embeds the words that its images are compared with.
    """

    identity: str
    settings: dict[str, Any]
    space: FeatureSpace
    text_encoder: str


def read_folder(folder: Path) -> ModelFolder:
    """What is said of the model in a folder; its weights are digested, not loaded.

    Where a clip3d.json names no space, the model has one of its own, and embeds words itself.

    Raises:
        SetupError: E_WEIGHTS: a file is missing or cannot be understood.
    """
    for file in (CONFIG, WEIGHTS):
        # Without the latter, open_clip would take any other file, a pickle for one.
        if not (folder / file).is_file():
            raise folder_fault(folder, f"has no {file}")
    ours = _read_json(folder / OURS) if (folder / OURS).is_file() else {}
    if unknown := sorted(set(ours) - {"space", "text_encoder"}):
        raise folder_fault(folder, f"{OURS} has an unknown key {unknown[0]!r}")
    identity = f"{folder.resolve().name}-{_digest(folder)}"
    try:
        settings = dict(_read_json(folder / CONFIG)["model_cfg"])
        dim = int(settings["embed_dim"])
        settings["vision_cfg"] = dict(settings["vision_cfg"])
        space = FeatureSpace(**ours.get("space", {"name": f"openclip/{identity}", "dim": dim}))
    except (KeyError, TypeError, ValueError) as error:
        fault = f"its descriptions cannot be understood: {type(error).__name__} {error}"
        raise folder_fault(folder, fault) from error
    if space.dim != dim:
        raise folder_fault(folder, f"{OURS} speaks of {space.dim} dimensions, {CONFIG} of {dim}")
    return ModelFolder(
        identity, settings, space, str(ours.get("text_encoder", f"openclip:{folder.resolve()}"))
    )


def folder_fault(folder: Path, fault: str) -> SetupError:
    """The refusal of a folder."""
    remedy = f"It must hold {CONFIG} and {WEIGHTS}, as open_clip writes them."
    return SetupError("E_WEIGHTS", folder, fault, remedy)


def _digest(folder: Path) -> str:
    digest = hashlib.sha256((folder / CONFIG).read_bytes())
    with (folder / WEIGHTS).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise folder_fault(path.parent, f"{path.name} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise folder_fault(path.parent, f"{path.name} is no table")
    return table
