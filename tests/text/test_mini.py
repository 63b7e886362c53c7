from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import SetupError
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.encoder import normalize_rows
from clip3d_cli.text.mini.encoder import MERGES, MiniTextEncoder
from clip3d_cli.text.mini.network import MiniConfig, MiniTextNetwork
from clip3d_cli.text.templates import load_templates
from clip3d_cli.weights_files import shipped_weights
from weights.recipe.text.network import MiniTextNetwork as TrainedNetwork

PROMPTS = [
    "a car",
    "a photo of a tree.",
    "road",
    "",
    "a very tall traffic light",
    "tench, Tinca tinca",
    "x",
    "日本語",
    "car " * 200,
]

# Word, a word of nearly the same meaning, a word of the same kind but another class.
SYNONYMS = [
    ("couch", "sofa", "table"),
    ("car", "automobile", "bus"),
    ("road", "street", "building"),
    ("pedestrian", "person", "bicycle"),
    ("man", "person", "tree"),
    ("fence", "picket fence", "road"),
    ("tree", "trees", "grass"),
    ("bush", "shrub", "building"),
    ("fridge", "refrigerator", "bathtub"),
    ("tire", "tyre", "window"),
    ("motorbike", "motorcycle", "truck"),
    ("house", "building", "tree"),
    ("lamp post", "street light", "fence"),
    ("trash can", "garbage can", "chair"),
    ("bookcase", "bookshelf", "bed"),
    ("rug", "carpet", "lamp"),
    ("lorry", "truck", "bicycle"),
    ("sidewalk", "footpath", "ceiling"),
    ("grass", "lawn", "wall"),
    ("river", "lake", "chair"),
]


@pytest.fixture(scope="module")
def mini() -> MiniTextEncoder:
    return MiniTextEncoder()


@pytest.fixture(scope="module")
def mean() -> np.ndarray:
    with safe_open(shipped_weights("mini-text-b32"), framework="np") as file:
        return file.get_tensor("network.mean")


def test_contract(mini: MiniTextEncoder) -> None:
    assert mini.space.name == "openclip/ViT-B-32/openai"
    vectors = mini(PROMPTS)
    assert vectors.shape == (len(PROMPTS), 512)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(np.concatenate([mini([p]) for p in PROMPTS]), vectors)
    np.testing.assert_array_equal(mini(PROMPTS[::-1]), vectors[::-1])
    np.testing.assert_array_equal(mini(PROMPTS), vectors)
    assert mini([]).shape == (0, 512)


@pytest.mark.parametrize("length", [1, 2, 7, 77])
def test_the_network_answers_as_the_one_that_was_trained(length: int) -> None:
    torch.manual_seed(0)
    config = MiniConfig(dim=24, token_width=8, width=32, heads=4, layers=2, hidden=48)
    trained = TrainedNetwork(config).eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.normal_(0, 0.5)
    stored = {name: value.numpy() for name, value in trained.state_dict().items()}
    stored["token.weight.scale"] = np.ones((len(stored["token.weight"]), 1), np.float32)
    tokens = torch.randint(0, 49_408, (5, length))
    with torch.inference_mode():
        wanted = trained(tokens).numpy()
    found = MiniTextNetwork(config, stored)(tokens.numpy())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_the_file_is_small() -> None:
    assert shipped_weights("mini-text-b32").stat().st_size <= 15_000_000


@pytest.mark.parametrize("name", ["car", "traffic light", "plastic bag", "air conditioner"])
def test_sentences_around_a_name_carry_no_meaning(name: str, mini: MiniTextEncoder) -> None:
    prompts = [
        name,
        f"a {name}",
        f"an {name}",
        f"The {name}",
        f"a photo of a {name}.",
        f"a {name} in a scene",
        f"there is a {name} in the scene.",
        f"a blurry photo of the {name}.",
    ]
    vectors = mini(prompts)
    np.testing.assert_allclose(vectors, np.broadcast_to(vectors[:1], vectors.shape), atol=1e-6)


def test_names_as_files_write_them(mini: MiniTextEncoder) -> None:
    vectors = mini(["traffic sign", "traffic-sign", "traffic_sign", "Traffic Sign"])
    np.testing.assert_allclose(vectors, np.broadcast_to(vectors[:1], vectors.shape), atol=1e-6)


def test_words_of_the_name_are_kept(mini: MiniTextEncoder) -> None:
    bag, plastic_bag, in_sentence = mini(["bag", "plastic bag", "a photo of a plastic bag."])
    np.testing.assert_array_equal(plastic_bag, in_sentence)
    assert float(bag @ plastic_bag) < 0.99


def test_85_templates_keep_the_name(mini: MiniTextEncoder, mean: np.ndarray) -> None:
    words = ["car", "road", "sofa", "traffic light", "tree", "building", "person", "plastic bag"]
    vocabulary = Vocabulary.from_names(words)
    alone = embed_vocabulary(vocabulary, mini, load_templates("none"))
    averaged = embed_vocabulary(vocabulary, mini, load_templates("clip2scene"))
    cosines = _centred(alone.vectors, mean) @ _centred(averaged.vectors, mean).T
    assert cosines.diagonal().min() > 0.95
    assert cosines.argmax(axis=1).tolist() == list(range(len(words)))


@pytest.mark.parametrize(("word", "near", "far"), SYNONYMS)
def test_synonyms_are_nearer_than_other_classes(
    word: str, near: str, far: str, mini: MiniTextEncoder, mean: np.ndarray
) -> None:
    vectors = _centred(mini([word, near, far]), mean)
    assert float(vectors[0] @ vectors[1]) > float(vectors[0] @ vectors[2]) + 0.1


def test_stored_vectors_of_clip_are_reproduced(
    mini: MiniTextEncoder, mean: np.ndarray, shared_data: Path
) -> None:
    stored = np.load(shared_data / "clip_b32_text.npz")
    one_word = [
        i for i, text in enumerate(stored["text"]) if text.count(" ") == 1 and text[:2] == "a "
    ]
    true = _centred(stored["vector"][one_word].astype(np.float32), mean)
    ours = _centred(mini([str(stored["text"][i]) for i in one_word]), mean)
    cosines = (true * ours).sum(axis=1)
    assert float(cosines.mean()) > 0.8
    own = (ours @ true.T).argmax(axis=1)
    # Several sources hold the same word, so the vector found may be its equal.
    found = (true[own] * true).sum(axis=1) > 0.98
    assert float(found.mean()) > 0.9


def test_a_long_prompt_is_reported(mini: MiniTextEncoder) -> None:
    assert mini.is_truncated("car " * 200)
    assert not mini.is_truncated("a car")


def test_it_is_fast_and_leaves_torch_alone() -> None:
    code = (
        "import sys, time; start = time.process_time()\n"
        "from clip3d_cli.text.mini.encoder import MiniTextEncoder\n"
        "from clip3d_cli.text.templates import load_templates\n"
        "words = [f'{look} {thing}' for look in ('red', 'tall', 'old', 'small') "
        "for thing in ('car', 'tree', 'house', 'lamp', 'dog')]\n"
        "prompts = [t.replace('{}', w) for w in words for t in load_templates('clip2scene')]\n"
        "vectors = MiniTextEncoder()(prompts)\n"
        "print(len(prompts), time.process_time() - start)\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'torch', 'open_clip', 'torchvision', 'transformers', 'huggingface_hub', 'timm'}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    first, second = run.stdout.splitlines()
    assert second == "[]"
    count, seconds = first.split()
    assert count == "1700"
    # Seconds of CPU, which a busy machine changes little; a quiet one needs less than half of one.
    assert float(seconds) < 1.5


def test_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clip3d_cli.weights_files.weights_folders", lambda: [tmp_path])
    with pytest.raises(SetupError) as caught:
        MiniTextEncoder()
    assert caught.value.code == "E_WEIGHTS"


@pytest.mark.parametrize("kind", ["cut off", "empty", "not ours", "missing", "lacks tensors"])
def test_a_damaged_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mini.safetensors"
    if kind == "cut off":
        path.write_bytes(shipped_weights("mini-text-b32").read_bytes()[:-1000])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind != "missing":
        with safe_open(shipped_weights("mini-text-b32"), framework="pt") as file:
            settings = json.loads(file.metadata()["settings"])
        if kind == "not ours":
            settings["format"] = "another"
        save_file({"a": np.zeros(1)}, path, metadata={"settings": json.dumps(settings)})
    with pytest.raises(SetupError) as caught:
        MiniTextEncoder(path)
    assert caught.value.code == "E_WEIGHTS"
    assert str(path) in str(caught.value)


def test_damaged_merges_are_reported_when_they_are_needed(tmp_path: Path) -> None:
    source, path = shipped_weights("mini-text-b32"), tmp_path / "mini.safetensors"
    with safe_open(source, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors[MERGES] = tensors[MERGES][:-100]
    save_file(tensors, path, metadata=metadata)
    encoder = MiniTextEncoder(path)
    assert encoder(["car"]).shape == (1, 512)
    with pytest.raises(SetupError, match="merges of the tokenizer are damaged") as caught:
        encoder(["a word of no lexicon"])
    assert caught.value.code == "E_WEIGHTS"
    assert str(path) in str(caught.value)


def _centred(vectors: np.ndarray, mean: np.ndarray) -> np.ndarray:
    return normalize_rows(vectors - mean)
