from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from clip3d_cli.errors import Clip3DError, SetupError, UsageError
from clip3d_cli.teachers.openclip import OpenClipTeacher
from clip3d_cli.teachers.towers import positions
from clip3d_cli.text.openclip import OpenClipTextEncoder
from tests.tiny_clip import MEAN, RESNET, STD, VIT, hub_cache, random_model, save_model, settings

Array = npt.NDArray[np.float64]
# The training size, a wide one, a tall one, a smaller one.
SIZES = [(32, 32), (32, 56), (48, 32), (16, 24)]
KINDS = {
    "plain": settings(VIT),
    "quick gelu": settings(VIT, quick_gelu=True),
    "one layer": settings({**VIT, "layers": 1}),
    "no ln_pre": settings({**VIT, "no_ln_pre": True}),
    "mean pool": settings({**VIT, "pool_type": "avg", "final_ln_after_pool": True}),
    "layer scale": settings({**VIT, "ls_init_value": 0.5}),
    "oblong": settings({**VIT, "image_size": [32, 48]}),
}
POOL = {**VIT, "attentional_pool": True, "attn_pooler_queries": 5, "attn_pooler_heads": 2}


def coca(embed_dim: int) -> dict[str, Any]:
    text = {"width": embed_dim, "heads": 2, "layers": 1, "context_length": 76}
    return {
        **settings(POOL, custom_text=True, multimodal_cfg=text),
        "embed_dim": embed_dim,
        "text_cfg": {**text, "embed_cls": True, "output_tokens": True},
    }


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Path]:
    """The folder of the random model of some settings, written once."""
    base = tmp_path_factory.mktemp("models")

    def folder(model_cfg: dict[str, Any]) -> Path:
        place = base / f"m{abs(hash(json.dumps(model_cfg)))}"
        return place if place.exists() else save_model(model_cfg, place)

    return folder


def picture(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cubic(distance: Array) -> Array:
    """Keys' kernel with a = −1/2."""
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def resampling(old: int, new: int) -> Array:
    """(new, old): weights of a bicubic resize that widens the kernel when it shrinks."""
    step = old / new
    middle = (np.arange(new) + 0.5) * step - 0.5
    weights = cubic((np.arange(old)[None] - middle[:, None]) / max(step, 1))
    return weights / weights.sum(axis=1, keepdims=True)


class Hand:
    """A vision transformer in numpy, from its weights and the definition of its parts."""

    def __init__(self, model_cfg: dict[str, Any]) -> None:
        self.cfg = model_cfg["vision_cfg"]
        self.quick = model_cfg.get("quick_gelu", False)
        state = random_model(model_cfg).visual.state_dict()
        self.w = {name: value.double().numpy() for name, value in state.items()}
        self.heads = self.cfg["width"] // self.cfg["head_width"]

    def norm(self, x: Array, name: str) -> Array:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def linear(self, x: Array, name: str) -> Array:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def mlp(self, x: Array, block: str) -> Array:
        x = self.linear(self.norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        gate = (
            1 / (1 + np.exp(-1.702 * x))
            if self.quick
            else np.vectorize(lambda v: (1 + math.erf(v / 2**0.5)) / 2)(x)
        )
        return self.linear(x * gate, f"{block}.mlp.c_proj") * self.w.get(f"{block}.ls_2.gamma", 1)

    def attention(self, x: Array, block: str, mix: Callable[..., Array]) -> Array:
        x = self.norm(x, f"{block}.ln_1")
        both = x @ self.w[f"{block}.attn.in_proj_weight"].T + self.w[f"{block}.attn.in_proj_bias"]
        parts = np.split(both, 3, axis=1)
        per_head = [np.split(part, self.heads, axis=1) for part in parts]
        mixed = np.hstack([mix(*qkv) for qkv in zip(*per_head, strict=True)])
        return self.linear(mixed, f"{block}.attn.out_proj") * self.w.get(f"{block}.ls_1.gamma", 1)

    def before_last(self, image: npt.NDArray[np.uint8], blocks: int) -> Array:
        pixels = (image / 255 - np.array(MEAN)) / np.array(STD)
        side, (height, width) = self.cfg["patch_size"], image.shape[:2]
        h, w = height // side, width // side
        cut = pixels.reshape(h, side, w, side, 3).transpose(0, 2, 4, 1, 3).reshape(h * w, -1)
        patches = cut @ self.w["conv1.weight"].reshape(self.cfg["width"], -1).T
        learned = self.w["positional_embedding"]
        rows, columns = (int(s) // side for s in np.broadcast_to(self.cfg["image_size"], 2))
        image_of = learned[1:].reshape(rows, columns, -1)
        places = np.einsum("yr,xc,rcd->yxd", resampling(rows, h), resampling(columns, w), image_of)
        tokens = np.vstack([self.w["class_embedding"], patches])
        tokens = tokens + np.vstack([learned[:1], places.reshape(h * w, -1)])
        tokens = tokens if self.cfg.get("no_ln_pre") else self.norm(tokens, "ln_pre")
        for number in range(blocks):
            name = f"transformer.resblocks.{number}"
            tokens = tokens + self.attention(tokens, name, usual)
            tokens = tokens + self.mlp(tokens, name)
        return tokens

    def dense(
        self, image: npt.NDArray[np.uint8], mix: Callable[..., Array], whole: bool = False
    ) -> Array:
        last = self.cfg["layers"] - 1
        tokens = self.before_last(image, last)
        name = f"transformer.resblocks.{last}"
        attended = self.attention(tokens, name, mix)
        if whole:
            attended = attended + tokens
            attended = attended + self.mlp(attended, name)
        vectors = self.norm(attended, "ln_post") @ self.w["proj"]
        side = self.cfg["patch_size"]
        return unit(vectors[1:]).reshape(image.shape[0] // side, image.shape[1] // side, -1)


def usual(q: Array, k: Array, v: Array) -> Array:
    return softmax(q @ k.T / np.sqrt(q.shape[1])) @ v


def own(q: Array, k: Array, v: Array) -> Array:
    return v


def correlative(q: Array, k: Array, v: Array) -> Array:
    root = np.sqrt(q.shape[1])
    return (softmax(q @ q.T / root) + softmax(k @ k.T / root)) @ v


def nearby(grid: tuple[int, int], q: Array, k: Array, v: Array) -> Array:
    logits = k @ k.T / np.sqrt(k.shape[1])
    for one in range(grid[0] * grid[1]):
        for other in range(grid[0] * grid[1]):
            (r, c), (s, d) = divmod(one, grid[1]), divmod(other, grid[1])
            logits[1 + one, 1 + other] += np.exp(-((r - s) ** 2 + (c - d) ** 2) / 50)
    return softmax(logits) @ v


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_value_path_by_hand(kind: str, size: tuple[int, int], saved: Any) -> None:
    image = picture(*size)
    teacher = OpenClipTeacher(str(saved(KINDS[kind])), image_px=min(size))
    expected = Hand(KINDS[kind]).dense(image, own)
    features = teacher(image)
    assert features.dtype == np.float32
    assert features.shape == (size[0] // 8, size[1] // 8, 12)
    np.testing.assert_allclose(features, expected, atol=2e-5)


@pytest.mark.parametrize("kind", ["plain", "layer scale"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("variant", "mix", "whole"),
    [
        ("value-released", own, True),
        ("self", correlative, True),
        ("neighbour", nearby, False),
    ],
)
def test_variants_by_hand(
    variant: str,
    mix: Callable[..., Array],
    whole: bool,
    size: tuple[int, int],
    kind: str,
    saved: Any,
) -> None:
    image = picture(*size)
    if mix is nearby:
        mix = partial(nearby, (size[0] // 8, size[1] // 8))
    teacher = OpenClipTeacher(str(saved(KINDS[kind])), variant=variant, image_px=min(size))
    expected = Hand(KINDS[kind]).dense(image, mix, whole)
    np.testing.assert_allclose(teacher(image), expected, atol=2e-5)


def test_the_hand_is_open_clips_own() -> None:
    """Otherwise the tests above would hold for a network that is not CLIP."""
    image, hand = picture(32, 32), Hand(KINDS["plain"])
    tokens = hand.before_last(image, 3)
    expected = hand.norm(tokens[0], "ln_post") @ hand.w["proj"]
    pixels = (image / 255 - np.array(MEAN)) / np.array(STD)
    with torch.inference_mode():
        model = random_model(KINDS["plain"])
        encoded = model.encode_image(torch.tensor(pixels).permute(2, 0, 1)[None].float())
    np.testing.assert_allclose(encoded[0].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("size", SIZES)
def test_positions_are_those_of_open_clip_at_that_size(size: tuple[int, int], saved: Any) -> None:
    import open_clip

    folder = saved(KINDS["plain"])
    there = open_clip.create_model(f"local-dir:{folder}", force_image_size=size).visual
    here = random_model(KINDS["plain"]).visual
    grid = (size[0] // 8, size[1] // 8)
    ours = positions(here.positional_embedding, here.grid_size, grid)
    np.testing.assert_allclose(ours.detach(), there.positional_embedding.detach(), atol=1e-5)


def test_positions_of_a_ramp_stay_a_ramp() -> None:
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    ramp = torch.stack([rows, 2 * columns], dim=-1).reshape(64, 2)
    learned = torch.cat([torch.tensor([[7.0, 9.0]]), ramp])
    assert positions(learned, (8, 8), (8, 8)) is learned
    wide = positions(learned, (8, 8), (16, 24))
    assert wide[0].tolist() == [7, 9]
    inner = wide[1:].reshape(16, 24, 2)[4:-4, 6:-6]
    at_row = (torch.arange(4, 12) + 0.5) / 2 - 0.5
    at_column = (torch.arange(6, 18) + 0.5) / 3 - 0.5
    torch.testing.assert_close(inner[:, 3, 0], at_row)
    torch.testing.assert_close(inner[5, :, 1], 2 * at_column)


def attended_by_hand(tower: Any, feats: Array, mix: Callable[..., Array]) -> Array:
    """(h, w, D) of a (C, h, w) map: a ResNet's pool with another mix, no positions."""
    state = {name: value.double().numpy() for name, value in tower.attnpool.state_dict().items()}
    x = feats.reshape(len(feats), -1).T
    q, k, v = (x @ state[f"{n}_proj.weight"].T + state[f"{n}_proj.bias"] for n in "qkv")
    width = x.shape[1] // tower.attnpool.num_heads
    cuts = [slice(start, start + width) for start in range(0, x.shape[1], width)]
    mixed = np.hstack([mix(q[:, cut], k[:, cut], v[:, cut]) for cut in cuts])
    vectors = mixed @ state["c_proj.weight"].T + state["c_proj.bias"]
    return unit(vectors).reshape(*feats.shape[1:], -1)


@pytest.mark.parametrize("size", [(64, 64), (64, 128), (96, 64)])
@pytest.mark.parametrize(("variant", "mix"), [("value", own), ("self", correlative)])
def test_resnets_by_hand(
    variant: str, mix: Callable[..., Array], size: tuple[int, int], saved: Any
) -> None:
    image, model_cfg = picture(*size), settings(RESNET)
    tower = random_model(model_cfg).visual
    tower.attnpool.register_forward_pre_hook(lambda _, inputs: maps.extend(inputs))
    tower.attnpool.forward = lambda x: x
    maps: list[torch.Tensor] = []
    pixels = (image / 255 - np.array(MEAN)) / np.array(STD)
    with torch.inference_mode():
        tower(torch.tensor(pixels).permute(2, 0, 1)[None].float())
    expected = attended_by_hand(tower, maps[0][0].double().numpy(), mix)
    teacher = OpenClipTeacher(str(saved(model_cfg)), variant=variant, image_px=min(size))
    np.testing.assert_allclose(teacher(image), expected, atol=2e-5)


# Of the width of the tower, the pool keeps its three projections in one matrix.
@pytest.mark.parametrize("dim", [12, 16])
def test_a_pool_by_attention_by_hand(dim: int, saved: Any) -> None:
    image, hand = picture(32, 40), Hand(coca(dim))
    tokens = hand.norm(hand.before_last(image, 3), "attn_pool.ln_k")
    part = "v_proj_weight" if dim == 12 else "in_proj_weight"
    value = hand.w[f"attn_pool.attn.{part}"][-dim:]
    values = tokens @ value.T + hand.w["attn_pool.attn.in_proj_bias"][-dim:]
    pooled = hand.norm(hand.linear(values, "attn_pool.attn.out_proj"), "ln_post") @ hand.w["proj"]
    teacher = OpenClipTeacher(str(saved(coca(dim))), image_px=32)
    np.testing.assert_allclose(teacher(image), unit(pooled[1:]).reshape(4, 5, -1), atol=2e-5)


def test_a_patch_sees_its_own_pixels(saved: Any) -> None:
    """With one layer, values reach no further: what changes at a place changes there alone."""
    teacher = OpenClipTeacher(str(saved(KINDS["one layer"])), image_px=32)
    image = picture(32, 56)
    other = image.copy()
    other[8:16, 40:48] = 255 - other[8:16, 40:48]
    changed = np.abs(teacher(image) - teacher(other)).max(axis=2) > 1e-6
    assert np.argwhere(changed).tolist() == [[1, 5]]


def test_images_are_resized_whole(saved: Any) -> None:
    teacher = OpenClipTeacher(str(saved(KINDS["plain"])), image_px=30)
    image = picture(90, 161)
    # 30 × 53.7 pixels are nearest to 4 × 7 patches of 8.
    shrunk = np.array(Image.fromarray(image).resize((56, 32), Image.Resampling.BICUBIC))
    features = teacher(image)
    assert features.shape == (4, 7, 12)
    exact = OpenClipTeacher(str(saved(KINDS["plain"])), image_px=32)
    np.testing.assert_array_equal(features, exact(shrunk))
    assert teacher(picture(1, 1)).shape == (4, 4, 12)


def test_images_are_resized_as_the_model_says(tmp_path: Path) -> None:
    folder, image = save_model(KINDS["plain"], tmp_path / "model"), picture(90, 90)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["interpolation"] = "bilinear"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    shrunk = np.array(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
    teacher = OpenClipTeacher(str(folder))
    np.testing.assert_array_equal(teacher(image), teacher(shrunk))


def test_features_do_not_depend_on_what_came_before(saved: Any) -> None:
    teacher = OpenClipTeacher(str(saved(KINDS["plain"])), variant="self")
    first = teacher(picture(32, 56))
    teacher(picture(64, 40, seed=1))
    np.testing.assert_array_equal(teacher(picture(32, 56)), first)
    np.testing.assert_allclose(np.linalg.norm(first, axis=2), 1, atol=1e-5)


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


def test_folders_say_their_space(tmp_path: Path) -> None:
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
        (partial(_write, "open_clip_config.json", "[]"), "is no table"),
        (partial(_write, "open_clip_config.json", "{}"), "model_cfg"),
        (partial(_write, "clip3d.json", '{"spice": 1}'), "unknown key 'spice'"),
        (partial(_write, "clip3d.json", '{"space": 1}'), "cannot be understood"),
        (
            partial(_write, "clip3d.json", '{"space": {"name": "a", "dim": 512}}'),
            "512 dimensions, open_clip_config.json of 12",
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
def test_models_that_cannot_be_read_so(
    model_cfg: dict[str, Any], options: dict[str, Any], message: str, saved: Any
) -> None:
    with pytest.raises(UsageError) as caught:
        OpenClipTeacher(str(saved(model_cfg)), **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("model", "code"),
    [("ViT-B-16/openia", "E_UNKNOWN_NAME"), ("ViT-B-16-SigLIP/webli", "E_UNSUPPORTED")],
)
def test_models_of_the_hub_that_are_refused_first(model: str, code: str) -> None:
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


def test_weights_that_give_no_numbers(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save_model(settings(VIT), tmp_path / "model")
    weights = load_file(folder / "open_clip_model.safetensors")
    weights["visual.proj"][0, 0] = torch.nan
    save_file(weights, folder / "open_clip_model.safetensors")
    with pytest.raises(SetupError, match="not finite"):
        OpenClipTeacher(str(folder))(picture(32, 32))
