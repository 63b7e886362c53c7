"""Writing of the trained encoder: matrices in eight bits with one scale per row."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from clip3d_cli.text.mini.encoder import MERGES, WEIGHTS_FORMAT
from weights.recipe.text.lexicon import Lexicon
from weights.recipe.text.merges import open_clip_merges, pack_merges
from weights.recipe.text.network import MiniTextNetwork

SPACE = "openclip/ViT-B-32/openai"


def write_weights(
    path: Path,
    network: MiniTextNetwork,
    lexicon: Lexicon,
    wrappers: Sequence[str],
    metadata: dict[str, str],
) -> None:
    """Write network, lexicon and CLIP's merges as `MiniTextEncoder` reads them.

    Args:
        path: safetensors file to write.
        network: trained network.
        lexicon: names with compressed vectors.
        wrappers: templates that add no meaning to a name.
        metadata: further entries of the file's metadata.
    """
    letters = "\n".join(lexicon.names).encode("utf-8")
    tensors = {f"lexicon.{name}": tensor for name, tensor in lexicon.tensors.items()}
    tensors["lexicon.names"] = torch.frombuffer(bytearray(letters), dtype=torch.uint8)
    merges = bytearray(pack_merges(open_clip_merges()))
    tensors[MERGES] = torch.frombuffer(merges, dtype=torch.uint8)
    for name, tensor in network.state_dict(prefix="network.").items():
        if tensor.dim() == 2:
            scale = tensor.abs().amax(dim=1, keepdim=True).clamp_min(1e-3) / 127
            tensors[name] = (tensor / scale.half().float()).round().clamp(-127, 127).to(torch.int8)
            tensors[f"{name}.scale"] = scale.half()
        else:
            tensors[name] = tensor.half() if name != "network.mean" else tensor
    settings = {
        "format": WEIGHTS_FORMAT,
        "space": SPACE,
        "network": dataclasses.asdict(network.config),
        "wrappers": list(wrappers),
    }
    save_file(tensors, path, metadata={"settings": json.dumps(settings), **metadata})
