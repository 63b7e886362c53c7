"""A folder with one open_clip model, and clip3d's optional description of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.errors import SetupError

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
CLIP3D_FILE = "clip3d.json"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """Description of the model in a folder.

    Attributes:
        identity: name of the folder and a digest of its contents, unique to the model.
        settings: open_clip's settings of the network.
        space: feature space of the model.
        text_encoder: name of the text encoder for words that are compared with the model's
            images.
    """

    identity: str
    settings: dict[str, Any]
    space: FeatureSpace
    text_encoder: str


def read_folder(folder: Path) -> ModelFolder:
    """Read the description of the model in a folder; its weights are hashed, not loaded.

    The file ``clip3d.json`` is optional. Without it, the model has a feature space of its own and
    embeds words itself.

    Args:
        folder: folder with ``open_clip_config.json`` and ``open_clip_model.safetensors``.

    Raises:
        SetupError: E_WEIGHTS: a file is missing or invalid.
    """
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        # Without the weights file, open_clip would load any other file, even a pickle.
        if not (folder / file).is_file():
            raise folder_error(folder, f"has no {file}")
    description = _read_json(folder / CLIP3D_FILE) if (folder / CLIP3D_FILE).is_file() else {}
    if unknown := sorted(set(description) - {"space", "text_encoder"}):
        raise folder_error(folder, f"{CLIP3D_FILE} has an unknown key {unknown[0]!r}")
    identity = f"{folder.resolve().name}-{_digest(folder)}"
    try:
        settings = dict(_read_json(folder / CONFIG_FILE)["model_cfg"])
        dim = int(settings["embed_dim"])
        settings["vision_cfg"] = dict(settings["vision_cfg"])
        own_space = {"name": f"openclip/{identity}", "dim": dim}
        space = FeatureSpace(**description.get("space", own_space))
    except (KeyError, TypeError, ValueError) as error:
        fault = f"its description is invalid: {type(error).__name__} {error}"
        raise folder_error(folder, fault) from error
    if space.dim != dim:
        fault = f"{CLIP3D_FILE} gives {space.dim} dimensions, {CONFIG_FILE} {dim}"
        raise folder_error(folder, fault)
    text_encoder = str(description.get("text_encoder", f"openclip:{folder.resolve()}"))
    return ModelFolder(identity, settings, space, text_encoder)


def folder_error(folder: Path, fault: str) -> SetupError:
    """Return the error for a folder that does not contain a valid model."""
    remedy = f"It must contain {CONFIG_FILE} and {WEIGHTS_FILE}, as open_clip writes them."
    return SetupError("E_WEIGHTS", folder, fault, remedy)


def _digest(folder: Path) -> str:
    """Return 12 hexadecimal digits of the SHA-256 of the settings and the weights."""
    digest = hashlib.sha256((folder / CONFIG_FILE).read_bytes())
    with (folder / WEIGHTS_FILE).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def _read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that contains an object."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise folder_error(path.parent, f"{path.name} cannot be read: {error}") from error
    if not isinstance(table, dict):
        raise folder_error(path.parent, f"{path.name} is not a JSON object")
    return table
