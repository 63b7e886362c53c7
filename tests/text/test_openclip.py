from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from clip3d_cli.errors import SetupError, UsageError
from clip3d_cli.text.openclip import model as openclip
from clip3d_cli.text.openclip.model import OpenClipTextEncoder

pytestmark = pytest.mark.usefixtures("no_hub")

PROMPTS = ["a car", "a photo of a tree.", "road", "", "a very tall traffic light"]
REPO = "clip3d-tests/tiny"
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 8, "layers": 1, "width": 16, "head_width": 8, "patch_size": 4},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 2,
    },
}


@pytest.fixture(scope="module")
def open_clip() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import open_clip

        return open_clip


@pytest.fixture
def tiny(open_clip: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A hub cache that holds one tiny random model under "clip3d-tiny/openai"."""
    config = tmp_path / "clip3d-tiny.json"
    config.write_text(json.dumps(TINY))
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {"clip3d-tiny": TINY})
    row = {"openai": {"hf_hub": f"{REPO}/", "quick_gelu": True}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "clip3d-tiny", row)
    cache = tmp_path / "hub"
    repo = cache / f"models--{REPO.replace('/', '--')}"
    snapshot = repo / "snapshots" / "0123456789abcdef"
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0123456789abcdef")
    torch.manual_seed(0)
    model = open_clip.create_model("clip3d-tiny", force_quick_gelu=True)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "ln" not in name:
                weight.normal_(0, 0.5)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, snapshot / "open_clip_model.safetensors")
    yield cache


def test_vectors_are_open_clips_with_quick_gelu(open_clip: ModuleType, tiny: Path) -> None:
    encoder = OpenClipTextEncoder("clip3d-tiny/openai", cache=tiny)
    vectors = encoder(PROMPTS)
    weights = next(tiny.rglob("*.safetensors"))
    tokens = open_clip.get_tokenizer("ViT-B-32")(PROMPTS)
    expected = {}
    for quick in (True, False):
        model = open_clip.create_model("clip3d-tiny", str(weights), force_quick_gelu=quick).eval()
        with torch.inference_mode():
            expected[quick] = functional.normalize(model.encode_text(tokens), dim=1)
    np.testing.assert_allclose(vectors, expected[True], rtol=1e-5, atol=1e-6)
    assert not np.allclose(vectors, expected[False], atol=1e-3)


def test_contract(tiny: Path) -> None:
    encoder = OpenClipTextEncoder("clip3d-tiny/openai", cache=tiny)
    assert encoder.space.name == "openclip/clip3d-tiny/openai"
    assert encoder.space.dim == 16
    vectors = encoder(PROMPTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    alone = np.concatenate([encoder([prompt]) for prompt in PROMPTS])
    np.testing.assert_allclose(alone, vectors, atol=1e-6)
    np.testing.assert_allclose(encoder(PROMPTS[::-1]), vectors[::-1], atol=1e-6)
    np.testing.assert_allclose(encoder(PROMPTS * 100)[-len(PROMPTS) :], vectors, atol=1e-6)
    assert encoder([]).shape == (0, 16)


def test_truncation(tiny: Path) -> None:
    encoder = OpenClipTextEncoder("clip3d-tiny/openai", cache=tiny)
    assert not encoder.is_truncated("car " * 75)
    assert encoder.is_truncated("car " * 76)


def test_offline_without_weights(open_clip: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        OpenClipTextEncoder("ViT-B-32/openai", cache=tmp_path)
    error = caught.value
    assert error.code == "E_WEIGHTS"
    for part in ("ViT-B-32", "'openai'", str(tmp_path)):
        assert part in str(error)
    assert "\n" not in str(error)
    assert "--text-encoder mini" in error.remedy


def test_a_damaged_file_is_refused(tiny: Path) -> None:
    weights = next(tiny.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(SetupError) as caught:
        OpenClipTextEncoder("clip3d-tiny/openai", cache=tiny)
    assert caught.value.code == "E_WEIGHTS"


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("a pickle ran code",)


def test_a_pickle_cannot_run_code(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = next(tiny.rglob("*.safetensors"))
    torch.save({"state_dict": {"a": _Bomb()}}, weights.with_name("open_clip_pytorch_model.bin"))
    weights.unlink()
    with pytest.raises(SetupError) as caught:
        OpenClipTextEncoder("clip3d-tiny/openai", cache=tiny)
    assert caught.value.code == "E_WEIGHTS"
    assert "a pickle ran code" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        ("ViT-B-32", "ViT-B-32/openai"),
        ("ViT-B-33/openai", "ViT-B-3"),
        ("ViT-B-32/openia", "Did you mean openai?"),
    ],
)
def test_unknown_models(open_clip: ModuleType, model: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        OpenClipTextEncoder(model)
    assert caught.value.code == "E_UNKNOWN_NAME"
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("operator torchvision::nms does not exist"), "E_TORCHVISION"),
        (ImportError("No module named 'open_clip'"), "E_WEIGHTS"),
    ],
)
def test_open_clip_cannot_be_imported(
    error: Exception, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, *args: object) -> ModuleType:
        if name == "open_clip":
            raise error
        return real(name, *args)

    import builtins

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SetupError) as caught:
        openclip._import_open_clip()
    assert caught.value.code == code
    assert "--text-encoder mini" in caught.value.remedy
