"""The native engine's kernels in float32, for every instruction set that this CPU can run."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_calls import (
    EXACT,
    Array,
    bits_of,
    convolve,
    floats_of,
    keys_of_cloud,
    near,
    numbers,
    pack,
    rows_of,
)

from clip3d_cli.native import library as native
from clip3d_cli.sparse.key_layout import STEP_X, STEP_Y

ISAS = ("avx2", "portable", "wide")
CHANNELS = [(1, 1), (7, 16), (16, 7), (33, 96), (96, 33), (20, 290), (513, 17)]


@pytest.fixture(scope="module")
def built(test_engine: Path) -> Any:
    """A library that can also compute by the kernels of AVX-512 on a CPU without."""
    return native.load(test_engine)


@pytest.fixture(params=ISAS)
def library(built: Any, request: pytest.FixtureRequest) -> Any:
    if built.c3d_use_isa(request.param.encode()) != native.OK:
        pytest.skip(f"this CPU has no {request.param}")
    return built


@dataclass(frozen=True)
class Map:
    """A kernel map, its rows (targets, sources), and its pairs found another way."""

    handle: int
    rows: tuple[int, int]
    pairs: list[tuple[Array, Array]]


@pytest.fixture(scope="module")
def maps(built: Any) -> Iterator[dict[str, Map]]:
    """3³ on 700 cells (tiles and a rest), and 2³ from them onto their parents."""
    keys = keys_of_cloud(700)
    pairs = []
    for x, y, z in np.ndindex(3, 3, 3):
        seen = keys + (x - 1) * STEP_X + (y - 1) * STEP_Y + (z - 1)
        place = np.searchsorted(keys, seen).clip(max=len(keys) - 1)
        targets = np.flatnonzero(keys[place] == seen)
        pairs.append((targets, place[targets]))
    handle = built.c3d_map_submanifold(keys.ctypes.data, len(keys), 3, 1)
    same = Map(handle, (len(keys), len(keys)), pairs)
    coarse, parents = np.empty_like(keys), np.empty(len(keys), dtype=np.int32)
    count = built.c3d_coarsen(keys.ctypes.data, len(keys), coarse.ctypes.data, parents.ctypes.data)
    slot = 4 * (keys // STEP_X % 2) + 2 * (keys // STEP_Y % 2) + keys % 2
    children = [np.flatnonzero(slot == number) for number in range(8)]
    down = built.c3d_map_strided(keys.ctypes.data, len(keys), parents.ctypes.data, count, 1)
    yield {
        "same": same,
        "down": Map(down, (count, len(keys)), [(parents[rows], rows) for rows in children]),
    }
    built.c3d_map_free(handle)
    built.c3d_map_free(down)


@pytest.fixture
def same(maps: dict[str, Map]) -> Map:
    return maps["same"]


def summed(known: Map, feats: Array, weight: Array, reverse: int = 0) -> Array:
    """The sum over pairs of feats @ weight, in double precision."""
    answer = np.zeros((known.rows[reverse], weight.shape[2]))
    for matrix, pair in zip(weight.astype(np.float64), known.pairs, strict=True):
        np.add.at(answer, pair[reverse], feats[pair[1 - reverse]].astype(np.float64) @ matrix)
    return answer


def weight_gradient(
    library: Any, known: Map | None, feats: Array, grads: Array, **options: Any
) -> Array:
    """By the library; options: reverse, threads, into (offsets, Cin, Cout, of any pitches)."""
    offsets = len(known.pairs) if known else 1
    into = options.get("into")
    if into is None:
        into = np.full((offsets, feats.shape[1], grads.shape[1]), np.nan, dtype=np.float32)
    answer = library.c3d_weight_gradient(
        known and known.handle, options.get("reverse", 0), rows_of(feats), rows_of(grads),
        into.ctypes.data, into.strides[0] // 4, into.strides[1] // 4, EXACT,
        options.get("threads", 1),
    )  # fmt: skip
    assert answer == native.OK
    return into


def assert_near(found: Array, right: Array, tolerance: float = 3e-6) -> None:
    assert found.shape == right.shape
    assert np.abs(found - right).max(initial=0) <= tolerance * np.abs(right).max(initial=1)


@pytest.mark.parametrize(("cin", "cout"), CHANNELS)
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("kind", ["same", "down"])
def test_sums_are_those_of_the_pairs(
    library: Any, maps: dict[str, Map], kind: str, reverse: int, cin: int, cout: int
) -> None:
    known = maps[kind]
    feats, weight = numbers((known.rows[1 - reverse], cin)), numbers((len(known.pairs), cin, cout))
    target = np.full((known.rows[reverse], cout), np.nan, dtype=np.float32)
    convolve(library, feats, weight, known.handle, EXACT, reverse=reverse, target=target)
    assert_near(target, summed(known, feats, weight, reverse))


@pytest.mark.parametrize(("cin", "cout"), CHANNELS)
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("kind", ["same", "down"])
def test_weight_gradients_are_those_of_the_pairs(
    library: Any, maps: dict[str, Map], kind: str, reverse: int, cin: int, cout: int
) -> None:
    known = maps[kind]
    feats, grads = numbers((known.rows[1 - reverse], cin)), numbers((known.rows[reverse], cout), 1)
    right = [
        feats[pair[1 - reverse]].T.astype(np.float64) @ grads[pair[reverse]] for pair in known.pairs
    ]
    found = weight_gradient(library, known, feats, grads, reverse=reverse)
    assert_near(found, np.stack(right), 1e-5)


@pytest.mark.parametrize(("cin", "cout"), CHANNELS)
@pytest.mark.parametrize("rows", [0, 1, 5, 700])
def test_without_a_map_it_is_a_linear_layer(library: Any, rows: int, cin: int, cout: int) -> None:
    feats, weight, grads = numbers((rows, cin)), numbers((1, cin, cout)), numbers((rows, cout), 1)
    assert_near(convolve(library, feats, weight, None, EXACT), feats.astype(float) @ weight[0])
    found = weight_gradient(library, None, feats, grads)
    assert_near(found[0], feats.T.astype(float) @ grads, 1e-5)


def test_transposed_packing_is_packing_the_transposed(library: Any, same: Map) -> None:
    weight, grads = numbers((27, 20, 37)), numbers((700, 37))
    turned = np.ascontiguousarray(weight.transpose(0, 2, 1))
    answers = [
        pack(library, weight, EXACT, transpose=True), pack(library, turned, EXACT)
    ]  # fmt: skip
    found = []
    for packed in answers:
        target = np.full((700, 20), np.nan, dtype=np.float32)
        assert library.c3d_convolve(
            same.handle, 1, rows_of(grads), packed.ctypes.data, rows_of(target), None, EXACT, 1
        ) == native.OK  # fmt: skip
        found.append(target)
    assert np.array_equal(*found)
    assert_near(found[0], summed(same, grads, turned, 1))


def test_slices_of_weights_and_columns_add_up(library: Any, same: Map) -> None:
    """Features side by side: the first part's sums are the second's base, in the same memory."""
    wide, weight = numbers((700, 50)), numbers((27, 50, 21))
    target = np.full((700, 33), 7, dtype=np.float32)[:, 5:26]
    for first, end in ((0, 17), (17, 50)):
        part, feats = weight[:, first:end], wide[:, first:end]
        size = library.c3d_packed_bytes(27, end - first, 21, EXACT)
        packed = np.zeros(size, dtype=np.uint8)
        assert library.c3d_pack(
            part.ctypes.data, 27, end - first, 21, 50 * 21, 21, 0, EXACT, packed.ctypes.data, 1
        ) == native.OK  # fmt: skip
        base = ctypes.pointer(rows_of(target)) if first else None
        assert library.c3d_convolve(
            same.handle, 0, rows_of(feats), packed.ctypes.data, rows_of(target),
            native.EpilogueStruct(base=base), EXACT, 1,
        ) == native.OK  # fmt: skip
    assert_near(target, summed(same, wide, weight))
    assert target.base is not None
    assert np.all(np.delete(target.base, np.s_[5:26], axis=1) == 7)
    grads, whole = numbers((700, 21), 1), np.full((27, 50, 21), np.nan, dtype=np.float32)
    for first, end in ((0, 17), (17, 50)):
        weight_gradient(library, same, wide[:, first:end], grads, into=whole[:, first:end])
    assert_near(whole, weight_gradient(library, same, wide, grads))


PARTS = list(itertools.product((False, True), (False, True), ("", "own", "target"), repeat=1))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize(("scaled", "shifted", "residual"), PARTS)
@pytest.mark.parametrize("based", ["", "own", "target"])
def test_the_epilogue_follows_the_sum(
    library: Any, scaled: bool, shifted: bool, residual: str, based: str, relu: bool, bf16: bool
) -> None:
    rows, cin, cout = 140, 9, 43
    feats, weight = near(numbers((rows, cin))), numbers((1, cin, cout))
    before = near(numbers((rows, cout), 2))
    others = {"target": before, "own": near(numbers((rows, cout), 3))}
    held = {name: bits_of(part) if bf16 else part.copy() for name, part in others.items()}
    scale, shift = numbers((cout,), 4), numbers((cout,), 5)
    epilogue = native.EpilogueStruct(
        scale=scale.ctypes.data if scaled else None,
        shift=shift.ctypes.data if shifted else None,
        base=ctypes.pointer(rows_of(held[based])) if based else None,
        residual=ctypes.pointer(rows_of(held[residual])) if residual else None,
        relu=relu,
    )
    convolve(
        library, bits_of(feats) if bf16 else feats, weight, None, EXACT,
        target=held["target"], epilogue=epilogue,
    )  # fmt: skip
    right = feats.astype(float) @ weight[0] + (others[based] if based else 0)
    right = right * (scale if scaled else 1) + (shift if shifted else 0)
    right = right + (others[residual] if residual else 0)
    right = np.maximum(right, 0) if relu else right
    found = floats_of(held["target"]) if bf16 else held["target"]
    assert_near(found, right, 2**-8 if bf16 else 3e-6)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize(("cout", "threads"), [(290, 1), (64, 4)])
def test_the_epilogue_is_that_of_the_tiles_columns(
    library: Any, cout: int, threads: int, bf16: bool
) -> None:
    """More columns than a tile has, or tiles of few columns for many threads."""
    rows, cin = 700, 40
    feats, weight = near(numbers((rows, cin))), numbers((1, cin, cout))
    base, residual = near(numbers((rows, cout), 2)), near(numbers((rows, cout), 3))
    scale, shift = numbers((cout,), 4), numbers((cout,), 5)
    parts = [bits_of(each) if bf16 else each for each in (base, residual)]
    epilogue = native.EpilogueStruct(
        scale.ctypes.data, shift.ctypes.data, ctypes.pointer(rows_of(parts[0])),
        ctypes.pointer(rows_of(parts[1])), 1,
    )  # fmt: skip
    target = np.zeros((rows, cout), np.uint16 if bf16 else np.float32)
    convolve(library, feats, weight, None, EXACT, target=target, epilogue=epilogue, threads=threads)
    right = np.maximum((feats.astype(float) @ weight[0] + base) * scale + shift + residual, 0)
    assert_near(floats_of(target) if bf16 else target, right, 2**-8 if bf16 else 3e-6)


def test_bf16_rows_are_the_nearest(library: Any, same: Map) -> None:
    feats, weight = near(numbers((700, 33))), numbers((27, 33, 21))
    exact = convolve(library, feats, weight, same.handle, EXACT)
    target = np.zeros((700, 21), dtype=np.uint16)
    convolve(library, bits_of(feats), weight, same.handle, EXACT, target=target)
    assert np.array_equal(target, bits_of(exact))
    grads = near(numbers((700, 21), 1))
    found = weight_gradient(library, same, bits_of(feats), bits_of(grads))
    assert np.array_equal(found, weight_gradient(library, same, feats, grads))


def test_numbers_that_are_none_stay_in_their_rows(library: Any) -> None:
    feats, weight = numbers((300, 4)), numbers((1, 4, 19))
    feats[17] = np.nan
    for relu, kind in itertools.product((0, 1), (np.float32, np.uint16)):
        target = np.zeros((300, 19), dtype=kind)
        epilogue = native.EpilogueStruct(relu=relu)
        convolve(library, feats, weight, None, EXACT, target=target, epilogue=epilogue)
        found = target if kind == np.float32 else floats_of(target)
        assert np.isnan(found[17]).all()
        assert np.isfinite(np.delete(found, 17, axis=0)).all()


def test_threads_change_no_bit(library: Any, same: Map) -> None:
    feats, weight, grads = numbers((700, 40)), numbers((27, 40, 70)), numbers((700, 70), 1)
    many, more = numbers((20_000, 9)), numbers((20_000, 11), 1)
    answers = [
        (
            convolve(library, feats, weight, same.handle, EXACT, threads=threads),
            weight_gradient(library, same, feats, grads, threads=threads),
            weight_gradient(library, None, many, more, threads=threads),
        )
        for threads in (1, 2, 3, 4)
    ]
    for answer in answers[1:]:
        assert all(map(np.array_equal, answer, answers[0]))
    assert_near(answers[0][2][0], many.T.astype(float) @ more, 1e-5)


def test_many_rows_make_no_difference_to_one(library: Any) -> None:
    feats, weight = numbers((3000, 33)), numbers((1, 33, 70))
    whole = convolve(library, feats, weight, None, EXACT, threads=3)
    for rows in (1, 2, 7, 128, 129, 1000):
        part = convolve(library, feats[:rows], weight, None, EXACT)
        assert np.array_equal(part, whole[:rows])
