"""Loading OpenScene's published checkpoints into clip3d's MinkUNet.

Source: Peng et al., "OpenScene: 3D Scene Understanding with Open Vocabularies" (2023), whose point
network is MinkUNet18A on MinkowskiEngine.
"""

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
_PREFIX = "net3d."
_HEAD = "net3d.final.kernel"
_STEM_WEIGHT = "stem.weight"
# Their names of layers, and ours.
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
    """Load an OpenScene checkpoint as an encoder in evaluation mode.

    Args:
        path: published ``.pth.tar`` file; read with ``weights_only=True``, so it cannot run code.
        voxel_size_m: voxel edge of the network: 0.02 m for the indoor networks, 0.05 m for the
            nuScenes one.

    Raises:
        SetupError: E_WEIGHTS: no such file, not a checkpoint, or not of this network; E_PICKLE:
            it has objects other than tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SetupError(
            "E_PICKLE",
            path,
            "has objects other than tensors and numbers, or is not a checkpoint",
            "If you trust the file, load it with PyTorch and save its state_dict alone.",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise _error(path, f"cannot be read as a PyTorch checkpoint: {error}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise _error(path, "has no state_dict of tensors")
    return encoder_of_state(state, path, voxel_size_m)


def encoder_of_state(
    state: Mapping[str, Tensor], path: Path, voxel_size_m: float = 0.02
) -> PointEncoder:
    """Return the encoder of OpenScene's tensors, in evaluation mode.

    Args:
        state: 289 tensors by name; the prefix ``net3d.`` may be missing.
        path: file they come from, for messages.
        voxel_size_m: voxel edge of the network, metres.

    Raises:
        SetupError: E_WEIGHTS, names or shapes are not those of the network.
    """
    theirs = {name if name.startswith(_PREFIX) else _PREFIX + name: state[name] for name in state}
    dim = int(theirs[_HEAD].shape[-1]) if _HEAD in theirs else 0
    if dim not in _SPACES:
        known = " or ".join(map(str, sorted(_SPACES)))
        raise _error(path, f"has no {_HEAD} of {known} channels")
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
    ours = {our_name(name): _our_layout(name, value) for name, value in theirs.items()}
    if _STEM_WEIGHT in ours:
        # Their three input channels are always 1, so one channel with the sum of the weights
        # gives the same result.
        ours[_STEM_WEIGHT] = ours[_STEM_WEIGHT].sum(dim=1, keepdim=True)
    load_state(encoder.network, {name: ours[name].numpy() for name in ours}, path)
    return encoder.eval()


def our_name(name: str) -> str:
    """Return clip3d's name of one of OpenScene's tensors; an unknown name is returned as it is."""
    inner = name.removeprefix(_PREFIX).replace(".kernel", ".weight")
    if inner == "final.weight":
        return "head.weight"
    block = re.fullmatch(r"block([1-8])\.(\d+)\.(.+)", inner)
    if block:
        return _block_name(int(block[1]), block[2], block[3])
    for index in range(4):
        layers = {
            _DOWN_CONVS[index]: f"down.{index}.conv",
            f"bn{index + 1}.bn": f"down.{index}.norm",
            _UP_CONVS[index]: f"up.{index}.conv",
            f"bntr{index + 4}.bn": f"up.{index}.norm",
            **_STEM,
        }
        layer, _, leaf = inner.rpartition(".")
        if layer in layers:
            return f"{layers[layer]}.{leaf}"
    return name


def _block_name(number: int, position: str, rest: str) -> str:
    for theirs, ours in _INSIDE_A_BLOCK:
        rest = rest.replace(theirs, ours)
    side, index = ("down", number - 1) if number <= 4 else ("up", number - 5)
    return f"{side}.{index}.blocks.{position}.{rest}"


def _our_layout(name: str, value: Tensor) -> Tensor:
    """Convert a kernel's layout.

    MinkowskiEngine orders offsets with x fastest, clip3d with x slowest. A kernel of one cell is
    (Cin, Cout) there and the (Cout, Cin) weight of a linear layer here.
    """
    if not name.endswith(".kernel"):
        return value
    if value.ndim == 2:
        return value.T.contiguous()
    edge = round(len(value) ** (1 / 3))
    # Axes z, y, x, Cin, Cout → x, y, z, Cin, Cout.
    cube = value.view(edge, edge, edge, *value.shape[1:])
    return cube.permute(2, 1, 0, 3, 4).reshape(value.shape).contiguous()


def _error(path: Path, fault: str) -> SetupError:
    return SetupError("E_WEIGHTS", path, fault, "Use one of the files that OpenScene published.")
