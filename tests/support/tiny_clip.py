"""Tiny random CLIP models, saved as open_clip saves them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "patch_size": 8, "width": 16, "head_width": 8, "layers": 3}
RESNET = {"image_size": 64, "width": 8, "layers": [1, 1, 2, 1]}
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def settings(vision: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"embed_dim": 12, "vision_cfg": vision, "text_cfg": TEXT, **more}


def random_model(model_cfg: dict[str, Any]) -> Any:
    """Return a model with random weights and running statistics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import open_clip
    torch.manual_seed(0)
    kind = open_clip.CoCa if "multimodal_cfg" in model_cfg else open_clip.CLIP
    model = kind(**{key: part for key, part in model_cfg.items() if key != "custom_text"}).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0, 1.5 / weight[0].numel() ** 0.5)
            else:
                weight.normal_(float("weight" in name or "gamma" in name), 0.3)
        for name, moment in model.named_buffers():
            if "running" in name:
                moment.uniform_(0.5, 1.5)
    return model


def save_model(model_cfg: dict[str, Any], folder: Path) -> Path:
    """Write a random model as open_clip stores models, and return the folder."""
    folder.mkdir(parents=True)
    tensors = {k: v.contiguous() for k, v in random_model(model_cfg).state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    config = {"model_cfg": model_cfg, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def hub_cache(folder: Path, repo: str, model_cfg: dict[str, Any]) -> Path:
    """Write a download cache of the hub that has a random model under a repository's name."""
    held = folder / f"models--{repo.replace('/', '--')}"
    save_model(model_cfg, held / "snapshots" / "0123456789abcdef")
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text("0123456789abcdef")
    return folder
