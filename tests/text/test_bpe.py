from __future__ import annotations

import gzip
import importlib.util
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip3d_cli.errors import SetupError
from clip3d_cli.text import bpe
from clip3d_cli.text.bpe import CONTEXT_LENGTH, END_TOKEN, START_TOKEN, ClipTokenizer

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
    return ClipTokenizer.installed()


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


def test_open_clip_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError) as caught:
        ClipTokenizer.installed()
    assert caught.value.code == "E_WEIGHTS"
    assert "pip install" in caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [b"", b"not gzip", gzip.compress(b"head\na b\n"), gzip.compress(b"head\nab\n")],
    ids=["empty", "not gzip", "too few", "no pair"],
)
def test_a_broken_vocabulary(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(content)
    monkeypatch.setattr(bpe, "vocabulary_path", lambda: path)
    with pytest.raises(SetupError) as caught:
        ClipTokenizer.installed()
    assert caught.value.code == "E_WEIGHTS"
    assert str(path) in str(caught.value)
