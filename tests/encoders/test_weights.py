from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.native_encoder import NativeEncoder
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_file import file_sha256
from clip3d_cli.encoders.weights_torch import load_encoder, save_encoder
from clip3d_cli.errors import OutputError, SetupError
from clip3d_cli.sparse.tensor import SparseTensor

SPEC = EncoderSpec(
    architecture="minkunet",
    config={"layers": 14, "width": 0.25},
    inputs=("one", "height"),
    voxel_sizes_m=(0.1, 0.2),
    space=FeatureSpace("openclip/ViT-B-32/openai", 12),
    text_encoder="mini",
    logit_scale=20.0,
    provenance={"trained on": "nothing"},
)


@pytest.fixture(scope="module")
def encoder() -> PointEncoder:
    torch.manual_seed(0)
    return PointEncoder(SPEC).eval()


@pytest.fixture
def cloud() -> SparseTensor:
    cells = torch.cartesian_prod(torch.arange(1), *[torch.arange(9)] * 3)[::4].int()
    return SparseTensor(cells, torch.randn(len(cells), 2))


def test_saved_and_loaded_is_the_same_encoder(
    encoder: PointEncoder, cloud: SparseTensor, tmp_path: Path
) -> None:
    path = tmp_path / "e.safetensors"
    save_encoder(encoder, path, torch.float32)
    again = load_encoder(path)
    assert again.spec == SPEC
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(cloud), encoder(cloud))
    assert [entry.name for entry in tmp_path.iterdir()] == ["e.safetensors"]


def test_half_precision_on_disk_changes_little_and_halves_the_file(
    encoder: PointEncoder, cloud: SparseTensor, tmp_path: Path
) -> None:
    save_encoder(encoder, tmp_path / "half")
    save_encoder(encoder, tmp_path / "full", torch.float32)
    with torch.no_grad():
        vectors = load_encoder(tmp_path / "half")(cloud)
        assert (vectors * encoder(cloud)).sum(1).min() > 0.999
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "full").stat().st_size
    state = load_file(tmp_path / "half")
    assert state["stem.weight"].dtype == torch.float16
    assert state["stem_norm.running_var"].dtype == torch.float32


def spoiled(folder: Path, encoder: PointEncoder, how: str) -> Path:
    path = folder / "spoiled.safetensors"
    save_encoder(encoder, path)
    whole = path.read_bytes()
    state = load_file(path)
    length = int.from_bytes(whole[:8], "little")
    metadata = json.loads(whole[8 : 8 + length])["__metadata__"]
    if how == "missing":
        del state["head.bias"], state["down.0.conv.weight"]
        save_file(state, path, metadata)
    elif how == "unexpected":
        save_file({**state, "extra": torch.zeros(1)}, path, metadata)
    elif how == "shape":
        save_file({**state, "head.bias": torch.zeros(3)}, path, metadata)
    elif how == "not finite":
        save_file({**state, "head.bias": torch.full((12,), torch.nan)}, path, metadata)
    elif how == "plain":
        save_file(state, path)
    elif how == "empty description":
        save_file(state, path, {"clip3d": "{}"})
    else:
        changes = {
            "no such network": {"config": {"layers": 15}},
            "no size": {"voxel_sizes_m": []},
            "no edge": {"voxel_sizes_m": [0.1, 0]},
            "no scale": {"logit_scale": "14"},
            "no channel": {"inputs": []},
            "no name": {"inputs": [1, 2]},
            "no table": {"config": [14]},
            "no notes": {"provenance": "mine"},
            "no such width": {"space": {"name": "a", "dim": -1}},
            "no text encoder": {"text_encoder": None},
            "no space": {"space": {"name": "a"}},
            "unknown field": {"voxel_size_m": 0.1},
        }
        spec = {**json.loads(metadata["clip3d"]), **changes[how]}
        save_file(state, path, {"clip3d": json.dumps(spec)})
    return path


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ("missing", r"missing: down.0.conv.weight, head.bias; unexpected: none"),
        ("unexpected", r"missing: none; unexpected: extra"),
        ("shape", r"wrong shape: head.bias \(3,\) instead of \(12,\)"),
        ("not finite", "not finite: head.bias"),
        ("plain", "has no specification 'clip3d'"),
        ("empty description", "invalid specification: architecture is missing"),
        ("no such width", "network that cannot be built: .*negative"),
        ("no space", "space: dim is missing"),
        ("unknown field", "unknown field 'voxel_size_m'"),
        ("no text encoder", "text_encoder must be a string"),
        ("no such network", "network that cannot be built: a MinkUNet has"),
        ("no size", "voxel_sizes_m must have at least one size"),
        ("no edge", r"must be above 0, not 0\.0"),
        ("no scale", "logit_scale must be a number"),
        ("no channel", "inputs must name at least one channel"),
        ("no name", "inputs must be a list of strings"),
        ("no table", "config must be an object"),
        ("no notes", "provenance must be an object"),
    ],
)
@pytest.mark.parametrize("load", [load_encoder, NativeEncoder.load])
def test_tensors_or_description_that_do_not_fit(
    encoder: PointEncoder, tmp_path: Path, how: str, fault: str, load: Callable[[Path], object]
) -> None:
    path = spoiled(tmp_path, encoder, how)
    with pytest.raises(SetupError, match=fault) as caught:
        load(path)
    assert caught.value.code == "E_WEIGHTS"
    assert caught.value.where == str(path)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"\n<html></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"PK\x03\x04archive/data.pkl", "is a PyTorch archive"),
        (b"\x80\x02}q\x00.", "is a pickle"),
        (b"\x10\x00\x00", "is not a complete safetensors file"),
        (b"anything else at all, long enough", "is not a complete safetensors file"),
    ],
)
def test_what_is_not_weights(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError, match=fault) as caught:
        load_encoder(path)
    assert caught.value.code == "E_WEIGHTS"


def test_a_folder_is_refused_with_the_file_in_it(encoder: PointEncoder, tmp_path: Path) -> None:
    for remedy in ("Name a .safetensors file.", f"Name the file in it: {tmp_path / 'p'}"):
        with pytest.raises(SetupError, match="is a folder") as caught:
            load_encoder(tmp_path)
        assert caught.value.remedy.startswith(remedy)
        save_encoder(encoder, tmp_path / "p.safetensors")


def test_a_file_cut_anywhere_is_refused(encoder: PointEncoder, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    save_encoder(encoder, whole)
    raw = whole.read_bytes()
    for kept in (4, 8, 100, len(raw) // 2, len(raw) - 1):
        cut = tmp_path / "cut"
        cut.write_bytes(raw[:kept])
        with pytest.raises(SetupError, match="is not a complete safetensors file"):
            load_encoder(cut)


def test_an_interrupted_save_leaves_the_old_file(
    encoder: PointEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e"
    save_encoder(encoder, path)
    before = file_sha256(path)

    whole = Path.write_bytes

    def stop(part: Path, blob: bytes) -> int:
        whole(part, blob[: len(blob) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "write_bytes", stop)
        save_encoder(encoder, path)
    assert file_sha256(path) == before
    assert len(before) == 64
    assert [entry.name for entry in tmp_path.iterdir()] == ["e"]


def test_weights_may_be_read_by_whom_other_files_may(encoder: PointEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path / "e")
    (tmp_path / "other").touch()
    assert (tmp_path / "e").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_place_that_cannot_be_written_is_refused(encoder: PointEncoder, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written") as caught:
        save_encoder(encoder, tmp_path / "nowhere" / "e")
    assert caught.value.code == "E_NOT_WRITABLE"
