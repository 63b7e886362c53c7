"""Target words of points and texts of grid cells, with switchable self-training."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from clip3d_cli.training.clip2scene.losses import NO_WORD, Words

SelfTraining = Literal["switch", "image", "own"]
CellWord = Literal["commonest", "first"]


def nearest_words(vectors: Tensor, words: Words) -> Tensor:
    """Return the word nearest to each of the network's vectors, (P, D) → (P,) int64."""
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
    """Return the target words of one step: switchable self-training (CLIP2Scene, §3.3).

    Before self-training has started, these are the words of the images. After that it depends on
    the mode: ``switch`` takes the images' words or the network's own, by one random choice for
    the whole step; ``own`` always takes the network's own (the ablation "self only"); ``image``
    never does (the ablation without switching).

    Args:
        image_words: (P,) int64; −1 for a point that no pixel sees.
        own_words: (P,) int64, from `nearest_words`.
        mode: see above.
        started: whether self-training has started; in the paper after about half the epochs.
        coin: random number in [0, 1); ``switch`` takes the network's own words below one half.
        unseen: whether points without a word of an image take the network's own word once
            self-training has started, whatever the coin says. Otherwise they stay without a word.
            The released code computes a loss for them and then overwrites it.

    Returns:
        (P,) int64.

    Raises:
        ValueError: there is no such mode.
    """
    if mode not in ("switch", "image", "own"):
        raise ValueError(f"there is no self-training mode {mode!r}")
    if mode == "image" or not started:
        return image_words
    takes_own = mode == "own" or coin < 0.5
    seen = image_words != NO_WORD
    return torch.where(
        seen, own_words if takes_own else image_words, own_words if unseen else NO_WORD
    )


def cell_words(
    word_of_pixel: Tensor, cell_of_pixel: Tensor, cells: int, *, how: CellWord = "commonest"
) -> Tensor:
    """Return one word for every grid cell, from the words of its pixels.

    The paper gives a cell one text and does not say which if its pixels differ. ``commonest`` takes
    the word of most pixels, and of several the lowest index; it does not depend on the order of the
    pixels. ``first`` takes the word of the first pixel, as the released code does.

    Args:
        word_of_pixel: (P,) int64; −1 is not counted.
        cell_of_pixel: (P,) int64; −1 for pixels in no cell.
        cells: G, number of cells.
        how: see above.

    Returns:
        (G,) int64; −1 for a cell without a word.

    Raises:
        ValueError: there is no such way to choose.
    """
    counted = (word_of_pixel != NO_WORD) & (cell_of_pixel >= 0)
    word, cell = word_of_pixel[counted], cell_of_pixel[counted]
    word_of_cell = word_of_pixel.new_full((cells,), NO_WORD)
    if len(word) == 0:
        return word_of_cell
    if how == "first":
        rows = torch.arange(len(word), device=word.device)
        # (G,): the first row of each cell; len(word) for a cell without rows.
        first = rows.new_full((cells,), len(word)).scatter_reduce(0, cell, rows, "amin")
        filled = first < len(word)
        word_of_cell[filled] = word[first[filled]]
        return word_of_cell
    if how != "commonest":
        raise ValueError(f"there is no way {how!r} to choose the word of a cell")
    width = int(word.max()) + 1
    # (U,): cell · width + word for every combination that occurs, and its number of pixels.
    combination, count = torch.unique(cell * width + word, return_counts=True)
    # One number to compare by: more pixels win, and among equals the lower word.
    strength = count * width + (width - 1 - combination % width)
    best = word_of_cell.scatter_reduce(0, combination // width, strength, "amax")
    return torch.where(best >= 0, width - 1 - best % width, word_of_cell)


def cell_texts(word_of_cell: Tensor, words: Words) -> Tensor:
    """Return the vector of every cell's word, (G,) → (G, D) float32; zeros where it has none."""
    return words.vectors[word_of_cell.clamp(min=0)] * (word_of_cell != NO_WORD)[:, None]
