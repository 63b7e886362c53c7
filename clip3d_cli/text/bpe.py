"""CLIP's tokenizer: byte-pair encoding of prompts."""

from __future__ import annotations

import html
import unicodedata
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby, pairwise

CONTEXT_LENGTH = 77
START_TOKEN = 49406
END_TOKEN = 49407
TOKEN_COUNT = 49408

MERGE_COUNT = 48894
_CONTRACTIONS = ("'re", "'ve", "'ll", "'s", "'t", "'m", "'d")
_STRAIGHT_QUOTES = str.maketrans({"‘": "'", "’": "'", "‛": "'", "“": '"', "”": '"', "‟": '"'})

Merge = tuple[str, str]


class ClipTokenizer:
    """Splits prompts into the tokens that CLIP's text encoders were trained on.

    The scheme is byte-pair encoding (Sennrich et al. 2016) on bytes, as in Radford et al. 2021:
    of all neighbouring pieces of a word, the pair that comes first in the list of merges is
    joined first.

    Args:
        merges: pairs of pieces, in the order of their priority.

    Attributes:
        pieces: text of every token by its number: 256 bytes, 256 bytes that end a word, then one
            piece per merge.
    """

    def __init__(self, merges: Sequence[Merge]) -> None:
        self._letter_of_byte = _letters_of_bytes()
        # dict keeps the order in which CLIP numbers the letters: printable bytes first.
        letters = list(self._letter_of_byte.values())
        self.pieces = [*letters, *(f"{letter}</w>" for letter in letters)]
        self.pieces += [first + second for first, second in merges]
        self._token_of_piece = {piece: token for token, piece in enumerate(self.pieces)}
        self._rank_of_pair = {pair: rank for rank, pair in enumerate(merges)}
        self._tokens_of_word: dict[str, list[int]] = {}

    def tokens(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt of any length, without start and end tokens."""
        out: list[int] = []
        for word in _split_words(_clean(prompt)):
            known = self._tokens_of_word.get(word)
            if known is None:
                known = self._tokens_of_word[word] = self._merge(word)
            out += known
        return out

    def encode(self, prompt: str) -> list[int]:
        """Return at most 77 tokens, from the start token to the end token.

        Tokens beyond that are cut off before the end token.
        """
        return [START_TOKEN, *self.tokens(prompt)[: CONTEXT_LENGTH - 2], END_TOKEN]

    def is_truncated(self, prompt: str) -> bool:
        """Return whether `encode` cuts off tokens of a prompt."""
        return len(self.tokens(prompt)) > CONTEXT_LENGTH - 2

    def _merge(self, word: str) -> list[int]:
        letters = [self._letter_of_byte[byte] for byte in word.encode("utf-8")]
        pieces = [*letters[:-1], f"{letters[-1]}</w>"]
        while len(pieces) > 1:
            pairs = list(pairwise(pieces))
            best = min(pairs, key=lambda pair: self._rank_of_pair.get(pair, MERGE_COUNT))
            if best not in self._rank_of_pair:
                break
            pieces = _join_pair(pieces, best)
        return [self._token_of_piece[piece] for piece in pieces]


def unpack_merges(packed: bytes) -> list[Merge]:
    """Return CLIP's 48,894 merges as they are stored in the weights of the mini text encoder.

    Args:
        packed: one merge a line, two pieces with a space between them, in UTF-8, zlib-compressed.

    Raises:
        ValueError: the bytes are damaged, or there are not 48,894 merges.
    """
    try:
        lines = zlib.decompress(packed).decode("utf-8").split("\n")
    except zlib.error as error:
        raise ValueError(f"the merges of the tokenizer are damaged: {error}") from error
    merges = [_split_merge(line) for line in lines]
    if len(merges) != MERGE_COUNT:
        raise ValueError(f"the tokenizer has {len(merges)} merges, not {MERGE_COUNT}")
    return merges


def _split_merge(line: str) -> Merge:
    first, second = line.split(" ")
    return first, second


def _letters_of_bytes() -> dict[int, str]:
    # CLIP's list of merges writes a byte without a printable Latin-1 letter as a letter from
    # U+0100 on, in the order of the bytes, and numbers the printable ones first.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(0x100 + place) for place, byte in enumerate(others)}


def _clean(prompt: str) -> str:
    # CLIP also repairs wrongly decoded text (mojibake), which is left out here.
    text = unicodedata.normalize("NFC", html.unescape(html.unescape(prompt)))
    return " ".join(text.translate(_STRAIGHT_QUOTES).split()).lower()


def _split_words(text: str) -> list[str]:
    """Split clean text as CLIP does: runs of letters, single digits, runs of other characters."""
    out: list[str] = []
    for category, run in groupby(text, key=_category):
        letters = "".join(run)
        out += letters if category == "N" else [letters]
    return [word for word in _split_contractions(out) if not word.isspace()]


def _split_contractions(words: list[str]) -> list[str]:
    """Join an apostrophe with the letters after it where both make an English ending."""
    out: list[str] = []
    for word in words:
        ending = next((c for c in _CONTRACTIONS if word.startswith(c[1:])), "")
        if ending and out and out[-1] == "'":
            out[-1] = ending
            word = word[len(ending) - 1 :]
        if word:
            out.append(word)
    return out


@lru_cache(maxsize=4096)
def _category(character: str) -> str:
    """Return L for letters, N for numbers, a space for white space, P for all else."""
    if character.isspace():
        return " "
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "P"


def _join_pair(pieces: list[str], pair: Merge) -> list[str]:
    """Join a pair of pieces wherever it occurs in a word."""
    out: list[str] = []
    position = 0
    while position < len(pieces):
        if tuple(pieces[position : position + 2]) == pair:
            out.append(pair[0] + pair[1])
            position += 2
        else:
            out.append(pieces[position])
            position += 1
    return out
