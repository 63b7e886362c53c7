"""OpenScene's published networks in ours (Peng et al. 2023: MinkUNet18A on MinkowskiEngine)."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import load_state
from clip3d_cli.errors import SetupError

_SPACES = {
    768: FeatureSpace("openclip/ViT-L-14-336/openai", 768),
    512: FeatureSpace("openclip/ViT-B-32/openai", 512),
}
_HEAD = "net3d.final.kernel"
_PREFIX = "net3d."
_STEM_WEIGHT = "stem.weight"
_STEM = {"conv0p1s1": "stem", "bn0.bn": "stem_norm"}
_DOWN_CONVS = ("conv1p1s2", "conv2p2s2", "conv3p4s2", "conv4p8s2")
_UP_CONVS = ("convtr4p16s2", "convtr5p8s2", "convtr6p4s2", "convtr7p2s2")
_INSIDE_A_BLOCK = (
    ("norm1.bn.", "norm1."),
    ("norm2.bn.", "norm2."),
    ("downsample.0.", "shortcut.0."),
    ("downsample.1.bn.", "shortcut.1."),
)


def load_openscene(path: Path, voxel_size_m: float = 0.02) -> PointEncoder:
    """The encoder of an OpenScene checkpoint, in evaluation mode.

    Args:
        path: the published ``.pth.tar``; it is read with ``weights_only=True``, so it cannot run
            code.
        voxel_size_m: 0.02 for the indoor networks, 0.05 for the nuScenes one.

    Raises:
        SetupError: E_WEIGHTS: not there, not a checkpoint, or not of this network; E_PICKLE: it
            holds more than tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SetupError(
            "E_PICKLE",
            path,
            "holds more than tensors and numbers, or is no checkpoint",
            "Save its state_dict alone where you trust it, then load that.",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise _fault(path, f"cannot be read as a PyTorch checkpoint: {error}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise _fault(path, "holds no state_dict of tensors")
    return encoder_of_state(state, path, voxel_size_m)


def encoder_of_state(
    state: Mapping[str, Tensor], path: Path, voxel_size_m: float = 0.02
) -> PointEncoder:
    """The encoder of OpenScene's tensors, in evaluation mode.

    The network's three input channels are always all ones, so they become one whose weights are
    the sum.

    Args:
        state: 289 entries; the prefix ``net3d.`` may be missing.
        path: where they come from, for messages.
        voxel_size_m: the voxel edge the network was trained at.

    Raises:
        SetupError: E_WEIGHTS, keys or shapes are not those of the network.
    """
    whole = {name if name.startswith(_PREFIX) else _PREFIX + name: state[name] for name in state}
    dim = int(whole[_HEAD].shape[-1]) if _HEAD in whole else 0
    if dim not in _SPACES:
        known = " or ".join(map(str, sorted(_SPACES)))
        raise _fault(path, f"has no {_HEAD} of {known} channels")
    spec = EncoderSpec(
        architecture="minkunet",
        config={"layers": 18, "stem_kernel": 5, "head_bias": False},
        inputs=("one",),
        voxel_sizes_m=(voxel_size_m,),
        space=_SPACES[dim],
        text_encoder="openclip",
        logit_scale=100.0,
        provenance={"network": "OpenScene MinkUNet18A", "file": path.name},
    )
    encoder = PointEncoder(spec)
    ours = {our_name(name): _turned(name, value) for name, value in whole.items()}
    if _STEM_WEIGHT in ours:
        ours[_STEM_WEIGHT] = ours[_STEM_WEIGHT].sum(dim=1, keepdim=True)
    load_state(encoder.network, {name: ours[name].numpy() for name in ours}, path)
    return encoder.eval()


def our_name(name: str) -> str:
    """What one of OpenScene's keys is called here; an unknown key stays as it is."""
    inner = name.removeprefix(_PREFIX).replace(".kernel", ".weight")
    if inner == "final.weight":
        return "head.weight"
    block = re.fullmatch(r"block([1-8])\.(\d+)\.(.+)", inner)
    if block:
        return _block_name(int(block[1]), block[2], block[3])
    for index in range(4):
        places = {
            _DOWN_CONVS[index]: f"down.{index}.conv",
            f"bn{index + 1}.bn": f"down.{index}.norm",
            _UP_CONVS[index]: f"up.{index}.conv",
            f"bntr{index + 4}.bn": f"up.{index}.norm",
            **_STEM,
        }
        layer, _, leaf = inner.rpartition(".")
        if layer in places:
            return f"{places[layer]}.{leaf}"
    return name


def _block_name(number: int, position: str, rest: str) -> str:
    for theirs, mine in _INSIDE_A_BLOCK:
        rest = rest.replace(theirs, mine)
    side, index = ("down", number - 1) if number <= 4 else ("up", number - 5)
    return f"{side}.{index}.blocks.{position}.{rest}"


def _turned(name: str, value: Tensor) -> Tensor:
    """MinkowskiEngine's kernel, x fastest, → ours, x slowest; (Cin, Cout) → a linear weight."""
    if not name.endswith(".kernel"):
        return value
    if value.ndim == 2:
        return value.T.contiguous()
    edge = round(len(value) ** (1 / 3))
    cube = value.view(edge, edge, edge, *value.shape[1:])
    return cube.permute(2, 1, 0, 3, 4).reshape(value.shape).contiguous()


def _fault(path: Path, fault: str) -> SetupError:
    return SetupError("E_WEIGHTS", path, fault, "Use one of the files OpenScene published.")
