from __future__ import annotations

import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from clip3d_cli.text.bpe import (
    CONTEXT_LENGTH,
    END_TOKEN,
    START_TOKEN,
    ClipTokenizer,
    unpack_merges,
)
from clip3d_cli.text.mini.encoder import MERGES
from clip3d_cli.weights_files import shipped_weights
from weights.recipe.text.merges import open_clip_merges, pack_merges, replace_merges

PHRASES = [
    "",
    "car",
    "a photo of a traffic light.",
    "a traffic_light",
    "A Photo Of A CAR!!!",
    "  two   spaces\tand\nlines ",
    "it's we'll they've I'm you'd don't we're",
    "rock'n'roll 's ''s x'sy 'table '",
    "tench, Tinca tinca; sign/post (for plants)",
    "3.14 100% 2nd 42",
    "½ cup Ⅷ ١٢٣",
    "café naïve Straße ÅNGSTRÖM İstanbul",
    "e\u0301clair",
    "日本語 テスト 汽车",
    "автомобиль дерево Σίσυφος",
    "👍🏽 tree 🌳!!",
    "&amp; &lt;b&gt; &amp;amp;",
    "“quoted” ‘x’ it’s",
    "a\u00a0b\u200bc",
    "__init__ -- ... #@!",
    "antidisestablishmentarianism floccinaucinihilipilification",
]


@cache
def _ours() -> ClipTokenizer:
    return ClipTokenizer(unpack_merges(_packed()))


def _packed() -> bytes:
    with safe_open(shipped_weights("mini-text-b32"), framework="np") as file:
        return file.get_tensor(MERGES).tobytes()


@cache
def _theirs() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from open_clip.tokenizer import SimpleTokenizer

        return SimpleTokenizer()


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return _ours()


@pytest.mark.parametrize("phrase", PHRASES)
def test_tokens_equal_open_clip(phrase: str) -> None:
    theirs = _theirs()([phrase])[0].tolist()
    ours = _ours().encode(phrase)
    assert theirs == ours + [0] * (CONTEXT_LENGTH - len(ours))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=60))
def test_tokens_equal_open_clip_on_any_ascii(phrase: str) -> None:
    ours = _ours().encode(phrase)
    assert _theirs()([phrase])[0].tolist()[: len(ours)] == ours


def test_a_long_prompt_keeps_its_end(tokenizer: ClipTokenizer) -> None:
    fits, too_long = "car " * 75, "car " * 76
    assert not tokenizer.is_truncated(fits)
    assert tokenizer.is_truncated(too_long)
    tokens = tokenizer.encode(too_long)
    assert len(tokens) == CONTEXT_LENGTH
    assert (tokens[0], tokens[-1]) == (START_TOKEN, END_TOKEN)


def test_shipped_merges_are_open_clips() -> None:
    assert unpack_merges(_packed()) == open_clip_merges()


def test_merges_are_packed_and_unpacked() -> None:
    merges = unpack_merges(_packed())
    assert unpack_merges(pack_merges(merges)) == merges


@pytest.mark.parametrize(
    "packed",
    [b"", b"not zlib", zlib.compress(b"a b\nc d"), zlib.compress(b"ab"), zlib.compress(b"\xff")],
    ids=["empty", "not zlib", "too few", "no pair", "not text"],
)
def test_damaged_merges_are_rejected(packed: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_merges(packed)


def test_merges_are_replaced_and_other_tensors_kept(tmp_path: Path) -> None:
    path = tmp_path / "mini.safetensors"
    kept = np.arange(6, dtype=np.int8).reshape(2, 3)
    save_file({"kept": kept, MERGES: np.zeros(3, np.uint8)}, path, metadata={"settings": "{}"})
    replace_merges(path)
    with safe_open(path, framework="np") as file:
        assert file.metadata() == {"settings": "{}"}
        np.testing.assert_array_equal(file.get_tensor("kept"), kept)
        assert unpack_merges(file.get_tensor(MERGES).tobytes()) == open_clip_merges()
