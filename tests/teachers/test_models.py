"""Models of teachers: from the hub, from folders, and models that are not supported."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hand_clip import KINDS, POOL, Hand, coca, own, picture
from tiny_clip import MEAN, STD, VIT, hub_cache, save_model, settings

from clip3d_cli.errors import Clip3DError, SetupError, UsageError
from clip3d_cli.teachers.openclip import OpenClipTeacher
from clip3d_cli.text.openclip.model import OpenClipTextEncoder

pytestmark = pytest.mark.usefixtures("no_hub")


def test_the_hubs_models_share_the_space_of_their_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    model_cfg = KINDS["quick gelu"]
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {"tiny": KINDS["plain"]})
    row = {"openai": {"hf_hub": "clip3d-tests/tiny/", "quick_gelu": True, "mean": MEAN, "std": STD}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny", row)
    cache = hub_cache(tmp_path / "hub", "clip3d-tests/tiny", model_cfg)
    teacher = OpenClipTeacher("tiny/openai", image_px=32, cache=cache)
    assert teacher.name == "tiny_openai_value_32"
    assert teacher.text_encoder == "openclip:tiny/openai"
    words = OpenClipTextEncoder("tiny/openai", cache=cache)
    teacher.space.require(words.space, "words")
    image = picture(32, 32)
    np.testing.assert_allclose(teacher(image), Hand(model_cfg).dense(image, own), atol=2e-5)


def test_folders_name_their_space(tmp_path: Path) -> None:
    folder = save_model(settings(VIT), tmp_path / "my model")
    teacher, words = OpenClipTeacher(str(folder)), OpenClipTextEncoder(str(folder))
    assert teacher.space == words.space
    assert teacher.text_encoder == f"openclip:{folder}"
    assert teacher.name.startswith("my_model-") and teacher.name.endswith("_value_32")
    other = OpenClipTeacher(str(folder), variant="self", image_px=48)
    assert other.name != teacher.name
    config = folder / "open_clip_config.json"
    config.write_text(config.read_text().replace("0.25", "0.26"))
    assert OpenClipTeacher(str(folder)).name != teacher.name
    ours = {"space": {"name": "openclip/ViT-B-32/openai", "dim": 12}, "text_encoder": "mini"}
    (folder / "clip3d.json").write_text(json.dumps(ours))
    teacher = OpenClipTeacher(str(folder))
    assert (teacher.space.name, teacher.text_encoder) == ("openclip/ViT-B-32/openai", "mini")
    with pytest.raises(UsageError, match="embedded by mini"):
        OpenClipTextEncoder(str(folder))


def _no_weights(folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    weights.rename(folder / "open_clip_pytorch_model.bin")


def _cut_off(folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def _write(file: str, text: str, folder: Path) -> None:
    (folder / file).write_text(text)


def _other_model(model_cfg: dict[str, Any], folder: Path) -> None:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_weights, "has no open_clip_model.safetensors"),
        (_cut_off, "cannot be loaded"),
        (partial(_write, "open_clip_config.json", "{"), "open_clip_config.json cannot be read"),
        (partial(_write, "open_clip_config.json", "[]"), "is not a JSON object"),
        (partial(_write, "open_clip_config.json", "{}"), "model_cfg"),
        (partial(_write, "clip3d.json", '{"spice": 1}'), "unknown key 'spice'"),
        (partial(_write, "clip3d.json", '{"space": 1}'), "its description is invalid"),
        (
            partial(_write, "clip3d.json", '{"space": {"name": "a", "dim": 512}}'),
            "gives 512 dimensions, open_clip_config.json 12",
        ),
        (partial(_other_model, settings({**VIT, "layers": 4})), "cannot be loaded"),
        (
            partial(_other_model, settings({"timm_model_name": "vit_tiny_patch16_224"})),
            "an image tower of the package timm",
        ),
    ],
)
def test_folders_that_cannot_be_used(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = save_model(settings(VIT), tmp_path / "model")
    damage(folder)
    with pytest.raises(Clip3DError) as caught:
        OpenClipTeacher(str(folder))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("model_cfg", "options", "message"),
    [
        (settings(VIT), {"variant": "values"}, "there is no 'values'"),
        (settings(VIT), {"image_px": 7}, "less than a patch of 8"),
        (coca(12), {"variant": "self"}, "no variant 'self'"),
        (settings({**POOL, "attentional_pool": "parallel"}), {}, "pools by two attentions"),
        (settings({**VIT, "qk_norm": True}), {}, "CustomResidualAttentionBlock"),
    ],
)
def test_models_that_are_not_supported(
    model_cfg: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        OpenClipTeacher(str(save_model(model_cfg, tmp_path / "model")), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("model", "code"),
    [("ViT-B-16/openia", "E_UNKNOWN_NAME"), ("ViT-B-16-SigLIP/webli", "E_UNSUPPORTED")],
)
def test_models_of_the_hub_that_are_rejected_before_a_download(model: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        OpenClipTeacher(model)
    assert caught.value.code == code


def test_offline_without_weights(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        OpenClipTeacher(cache=tmp_path)
    assert caught.value.code == "E_WEIGHTS"
    for part in ("ViT-B-16", "'openai'", str(tmp_path)):
        assert part in str(caught.value)
    assert "open_clip_model.safetensors" in caught.value.remedy
    assert "mini" not in caught.value.remedy


def test_weights_with_nan(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_model(settings(VIT), tmp_path / "model")
    weights = load_file(folder / "open_clip_model.safetensors")
    weights["visual.proj"][0, 0] = torch.nan
    save_file(weights, folder / "open_clip_model.safetensors")
    with pytest.raises(SetupError, match="not finite"):
        OpenClipTeacher(str(folder))(picture(32, 32))
