"""Vectors of patches, compared with a second computation in numpy."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hand_clip import KINDS, Array, Hand, coca, correlative, nearby, own, picture, unit
from PIL import Image
from tiny_clip import MEAN, RESNET, STD, random_model, save_model, settings

from clip3d_cli.teachers.openclip import OpenClipTeacher
from clip3d_cli.teachers.towers import positions

pytestmark = pytest.mark.usefixtures("no_hub")

# The training size, a wide one, a tall one, a smaller one.
SIZES = [(32, 32), (32, 56), (48, 32), (16, 24)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], Path]:
    """Return a function to the folder of a random model with some settings."""
    base = tmp_path_factory.mktemp("models")

    def folder(model_cfg: dict[str, Any]) -> Path:
        place = base / f"m{abs(hash(json.dumps(model_cfg)))}"
        return place if place.exists() else save_model(model_cfg, place)

    return folder


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


def test_the_computation_by_hand_is_that_of_open_clip() -> None:
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
    """(h, w, D) of a (C, h, w) map: the pool of a ResNet with another attention, no positions."""
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


# If all widths are equal (16), PyTorch joins the three projections of the pool in one matrix.
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
    """With one layer, a change of the pixels of a patch changes only the vector of that patch."""
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
