"""Which word a point or a cell is told: the image's, or in self-training the point net's own."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from clip3d_cli.training.clip2scene.losses import NO_WORD, Words

SelfTraining = Literal["switch", "image", "own"]
CellWord = Literal["commonest", "first"]


def self_words(vectors: Tensor, words: Words) -> Tensor:
    """(P,) int64: the word nearest to each of the point net's own vectors (P, D)."""
    return (vectors.detach().float() @ words.vectors.T).argmax(dim=1)


def choose_words(
    image_words: Tensor,
    own_words: Tensor,
    *,
    mode: SelfTraining,
    started: bool,
    coin: float,
    unseen: bool = False,
) -> Tensor:
    """The words of this step: switchable self-training (CLIP2Scene, §3.3).

    Until it has started, the images'. Then, by the mode: ``switch``: at random the images' or
    the net's own, one choice for the whole step; ``own``: always its own (the ablation "self
    only"); ``image``: never (the ablation without switching).

    Args:
        image_words: (P,) int64; −1 = no pixel sees the point, or what it shows is none of them.
        own_words: (P,) int64, of `self_words`.
        mode: see above.
        started: whether the net has learned enough: the paper waits for about half its epochs.
        coin: in [0, 1); below one half, ``switch`` takes the net's own.
        unseen: whether points that images say nothing of take the net's own word once
            self-training has started, whichever way the coin falls. The released code computes
            that loss and then overwrites it; without it, such points stay without a word.

    Returns:
        (P,) int64.

    Raises:
        ValueError: no such mode.
    """
    if mode not in ("switch", "image", "own"):
        raise ValueError(f"no self-training is called {mode!r}")
    if mode == "image" or not started:
        return image_words
    own_turn = mode == "own" or coin < 0.5
    seen = image_words != NO_WORD
    return torch.where(
        seen, own_words if own_turn else image_words, own_words if unseen else NO_WORD
    )


def cell_words(
    word_of_pixel: Tensor, cell_of_pixel: Tensor, cells: int, *, how: CellWord = "commonest"
) -> Tensor:
    """The word of every cell, of the words of its pixels.

    The paper gives a cell one text and does not say which of several. ``commonest`` is the one
    most pixels have, the lowest of equals, whatever their order; ``first`` is that of the first
    pixel, as in the released code.

    Args:
        word_of_pixel: (P,) int64; −1 has no say.
        cell_of_pixel: (P,) int64; −1 = in no cell.
        cells: how many there are.
        how: see above.

    Returns:
        (cells,) int64; −1 for a cell without a word.

    Raises:
        ValueError: no such way.
    """
    told = (word_of_pixel != NO_WORD) & (cell_of_pixel >= 0)
    word, cell = word_of_pixel[told], cell_of_pixel[told]
    answer = word_of_pixel.new_full((cells,), NO_WORD)
    if len(word) == 0:
        return answer
    if how == "first":
        rows = torch.arange(len(word), device=word.device)
        first = rows.new_full((cells,), len(word)).scatter_reduce(0, cell, rows, "amin")
        filled = first < len(word)
        answer[filled] = word[first[filled]]
        return answer
    if how != "commonest":
        raise ValueError(f"no way to choose a cell's word is called {how!r}")
    width = int(word.max()) + 1
    votes, count = torch.unique(cell * width + word, return_counts=True)
    # One number says both: more votes win, and among equals the lower word.
    strength = count * width + (width - 1 - votes % width)
    best = answer.scatter_reduce(0, votes // width, strength, "amax")
    return torch.where(best >= 0, width - 1 - best % width, answer)


def cell_texts(word_of_cell: Tensor, words: Words) -> Tensor:
    """(G, D) float32: the vector of every cell's word, zeros where it has none."""
    return words.vectors[word_of_cell.clamp(min=0)] * (word_of_cell != NO_WORD)[:, None]
