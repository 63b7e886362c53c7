"""CLIP's byte-pair tokens, from the vocabulary file that the open_clip wheel carries."""

from __future__ import annotations

import gzip
import html
import importlib.util
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path

from clip3d_cli.errors import SetupError

CONTEXT_LENGTH = 77
START_TOKEN = 49406
END_TOKEN = 49407
TOKEN_COUNT = 49408

_MERGE_COUNT = 48894
_CONTRACTIONS = ("'re", "'ve", "'ll", "'s", "'t", "'m", "'d")
_STRAIGHT_QUOTES = str.maketrans({"‘": "'", "’": "'", "‛": "'", "“": '"', "”": '"', "‟": '"'})


class ClipTokenizer:
    """Cut prompts into the tokens that CLIP's text encoders were trained on.

    The scheme is byte-pair encoding (Sennrich et al. 2016) on bytes, as in Radford et al. 2021:
    of all neighbouring pieces of a word, the pair that was merged earliest in the vocabulary
    file is merged first.
    """

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        """Number the pieces: 256 bytes, 256 bytes that end a word, then one per merge.

        Args:
            merges: pairs of pieces in the order in which they were merged.
        """
        self._letter_of_byte = _letters_of_bytes()
        # dict keeps the order in which the file's pieces were numbered: printable bytes first.
        letters = list(self._letter_of_byte.values())
        self.pieces = [*letters, *(f"{letter}</w>" for letter in letters)]
        self.pieces += [first + second for first, second in merges]
        self._token_of_piece = {piece: token for token, piece in enumerate(self.pieces)}
        self._rank_of_pair = {pair: rank for rank, pair in enumerate(merges)}
        self._tokens_of_word: dict[str, list[int]] = {}

    @classmethod
    def installed(cls) -> ClipTokenizer:
        """The tokenizer of the vocabulary file in the installed open_clip, which is not imported.

        Raises:
            SetupError: open_clip or its vocabulary file is missing or is not the file expected.
        """
        return cls(_read_merges(vocabulary_path()))

    def tokens(self, prompt: str) -> list[int]:
        """The tokens of a prompt of any length, without start and end."""
        out: list[int] = []
        for word in _words(_cleaned(prompt)):
            known = self._tokens_of_word.get(word)
            if known is None:
                known = self._tokens_of_word[word] = self._merge(word)
            out += known
        return out

    def encode(self, prompt: str) -> list[int]:
        """The tokens from start to end; what does not fit into 77 is cut off before the end."""
        return [START_TOKEN, *self.tokens(prompt)[: CONTEXT_LENGTH - 2], END_TOKEN]

    def is_truncated(self, prompt: str) -> bool:
        """Whether `encode` has to leave out the last words of a prompt."""
        return len(self.tokens(prompt)) > CONTEXT_LENGTH - 2

    def _merge(self, word: str) -> list[int]:
        letters = [self._letter_of_byte[byte] for byte in word.encode("utf-8")]
        pieces = [*letters[:-1], f"{letters[-1]}</w>"]
        while len(pieces) > 1:
            pairs = list(pairwise(pieces))
            best = min(pairs, key=lambda pair: self._rank_of_pair.get(pair, _MERGE_COUNT))
            if best not in self._rank_of_pair:
                break
            pieces = _joined(pieces, best)
        return [self._token_of_piece[piece] for piece in pieces]


def vocabulary_path() -> Path:
    """Where the open_clip wheel keeps CLIP's vocabulary; importing open_clip would take seconds.

    Raises:
        SetupError: there is no such file.
    """
    found = importlib.util.find_spec("open_clip")
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        path = Path(folder) / "bpe_simple_vocab_16e6.txt.gz"
        if path.is_file():
            return path
    raise SetupError(
        "E_WEIGHTS",
        "open_clip/bpe_simple_vocab_16e6.txt.gz",
        "CLIP's token vocabulary is not installed" if not folders else f"is not in {folders[0]}",
        "Install it again: pip install --force-reinstall open_clip_torch",
    )


def _read_merges(path: Path) -> list[tuple[str, str]]:
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
        merges = [_pair(line) for line in lines[1 : _MERGE_COUNT + 1]]
    except (OSError, EOFError, ValueError) as error:
        raise _broken_vocabulary(path, f"cannot be read: {error}") from error
    if len(merges) != _MERGE_COUNT:
        raise _broken_vocabulary(path, f"holds {len(merges)} merges, not {_MERGE_COUNT}")
    return merges


def _broken_vocabulary(path: Path, fault: str) -> SetupError:
    remedy = "Install it again: pip install --force-reinstall open_clip_torch"
    return SetupError("E_WEIGHTS", path, fault, remedy)


def _pair(line: str) -> tuple[str, str]:
    first, second = line.split()
    return first, second


def _letters_of_bytes() -> dict[int, str]:
    # The vocabulary file writes bytes that have no printable Latin-1 letter as the letters from
    # U+0100 on, in the order of the bytes, and numbers the printable ones first.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    letters = {byte: chr(byte) for byte in printable}
    return letters | {byte: chr(0x100 + place) for place, byte in enumerate(others)}


def _cleaned(prompt: str) -> str:
    # CLIP also repairs wrongly decoded text (mojibake), which is left out here.
    text = unicodedata.normalize("NFC", html.unescape(html.unescape(prompt)))
    return " ".join(text.translate(_STRAIGHT_QUOTES).split()).lower()


def _words(text: str) -> list[str]:
    """Split cleaned text as CLIP does: runs of letters, single digits, runs of other signs."""
    out: list[str] = []
    for kind, run in groupby(text, key=_kind):
        letters = "".join(run)
        out += letters if kind == "N" else [letters]
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
def _kind(letter: str) -> str:
    """Give L for letters, N for numbers, a space for white space, and P for all else."""
    if letter.isspace():
        return " "
    category = unicodedata.category(letter)[0]
    return category if category in "LN" else "P"


def _joined(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    place = 0
    while place < len(pieces):
        if tuple(pieces[place : place + 2]) == pair:
            out.append(pair[0] + pair[1])
            place += 2
        else:
            out.append(pieces[place])
            place += 1
    return out
