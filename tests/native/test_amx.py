"""The kernels of AMX, by an emulation of its instructions that runs on any x86 CPU."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native_calls import (
    EXACT,
    FAST,
    HIGH,
    Array,
    bits_of,
    convolve,
    floats_of,
    gradient,
    keys_of_cloud,
    near,
    numbers,
    pack,
    rows_of,
)

from clip3d_cli.native import library as native
from clip3d_cli.sparse.key_layout import STEP_BATCH, STEP_X, STEP_Y

CHANNELS = [(1, 1), (7, 33), (33, 7), (32, 96), (513, 40), (64, 290)]


@pytest.fixture(scope="module")
def built(test_engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that can also compute by emulated AMX; other tests' choices do not reach it."""
    return Path(shutil.copy(test_engine, tmp_path_factory.mktemp("amx")))


@pytest.fixture(scope="module")
def library(built: Path) -> Any:
    """The same, computing so."""
    found = native.load(built)
    if found.c3d_use_isa(b"amx-emulated") != native.OK:
        pytest.skip("AMX is emulated on CPUs with AVX2 only")
    return found


@dataclass(frozen=True)
class Cloud:
    """Keys, their 3³ kernel map, and its pairs found another way: (targets, sources) by offset."""

    keys: Array
    handle: int
    pairs: list[tuple[Array, Array]]


@pytest.fixture
def cloud(library: Any) -> Iterator[Cloud]:
    """700 cells: rows for two tiles and a rest."""
    keys = keys_of_cloud(700)
    handle = library.c3d_map_submanifold(keys.ctypes.data, len(keys), 3, 1)
    pairs = []
    for x, y, z in np.ndindex(3, 3, 3):
        seen = keys + (x - 1) * STEP_X + (y - 1) * STEP_Y + (z - 1)
        place = np.searchsorted(keys, seen).clip(max=len(keys) - 1)
        targets = np.flatnonzero(keys[place] == seen)
        pairs.append((targets, place[targets]))
    yield Cloud(keys, handle, pairs)
    library.c3d_map_free(handle)


def summed(cloud: Cloud, terms: list[tuple[Array, Array]]) -> Array:
    """The sum over pairs and over terms of feats @ weight, in double precision."""
    answer = np.zeros((len(cloud.keys), terms[0][1].shape[2]))
    for feats, weight in terms:
        for offset, (targets, sources) in enumerate(cloud.pairs):
            matrix = weight[offset].astype(np.float64)
            np.add.at(answer, targets, feats[sources].astype(np.float64) @ matrix)
    return answer


def error(found: Array, right: Array) -> float:
    return float(np.linalg.norm(found - right) / np.linalg.norm(right))


def test_emulation_is_never_chosen_unasked(built: Path, tmp_path: Path) -> None:
    fresh = native.load(Path(shutil.copy(built, tmp_path)))
    assert fresh.c3d_isa() in (b"amx", b"avx512", b"avx2", b"portable")


@pytest.mark.parametrize(("cin", "cout"), CHANNELS)
def test_fast_multiplies_bf16_numbers(library: Any, cloud: Cloud, cin: int, cout: int) -> None:
    feats, weight = numbers((700, cin)), numbers((27, cin, cout), 1)
    found = convolve(library, feats, weight, cloud.handle, FAST)
    assert error(found, summed(cloud, [(near(feats), near(weight))])) < 1e-6
    assert error(found, summed(cloud, [(feats, weight)])) < 1e-2


@pytest.mark.parametrize(("cin", "cout"), CHANNELS)
def test_high_multiplies_split_numbers(library: Any, cloud: Cloud, cin: int, cout: int) -> None:
    feats, weight = numbers((700, cin)), numbers((27, cin, cout), 1)
    found = convolve(library, feats, weight, cloud.handle, HIGH)
    x, w = near(feats), near(weight)
    terms = [(x, w), (x, near(weight - w)), (near(feats - x), w)]
    assert error(found, summed(cloud, terms)) < 1e-6
    assert error(found, summed(cloud, [(feats, weight)])) < 5e-5


@pytest.mark.parametrize("precision", [HIGH, FAST])
@pytest.mark.parametrize("cin", [32, 45])
def test_bf16_rows_are_read_and_written(
    library: Any, cloud: Cloud, precision: int, cin: int
) -> None:
    wide = numbers((700, cin + 3))
    wide[:, cin:] = np.nan  # nobody's columns
    feats, weight = bits_of(wide)[:, :cin], numbers((27, cin, 40), 1)
    same = np.ascontiguousarray(floats_of(bits_of(wide))[:, :cin])
    right = convolve(library, same, weight, cloud.handle, precision)
    assert np.array_equal(convolve(library, feats, weight, cloud.handle, precision), right)
    target = np.full((700, 50), 7, dtype=np.uint16)
    convolve(library, feats, weight, cloud.handle, precision, target=target[:, 5:45])
    assert np.array_equal(target[:, 5:45], bits_of(right))
    assert (target[:, :5] == 7).all() and (target[:, 45:] == 7).all()


@pytest.mark.parametrize("precision", [HIGH, FAST])
@pytest.mark.parametrize("rows", [1, 16, 17, 33, 300])
def test_without_map_it_is_a_linear_layer(library: Any, precision: int, rows: int) -> None:
    feats, weight = numbers((rows, 70)), numbers((1, 70, 45), 1)
    found = convolve(library, feats, weight, None, precision)
    assert error(found, feats.astype(np.float64) @ weight[0]) < (
        5e-5 if precision == HIGH else 1e-2
    )
    alone = convolve(library, feats[:1], weight, None, precision)
    assert np.array_equal(found[:1], alone)


@pytest.mark.parametrize("precision", [HIGH, FAST])
def test_no_rows_are_no_rows(library: Any, precision: int) -> None:
    found = convolve(library, numbers((0, 5)), numbers((1, 5, 6)), None, precision)
    assert found.shape == (0, 6)


@pytest.mark.parametrize("precision", [HIGH, FAST])
def test_threads_change_no_bit(library: Any, cloud: Cloud, precision: int) -> None:
    feats, weight = numbers((700, 33)), numbers((27, 33, 70), 1)
    found = convolve(library, feats, weight, cloud.handle, precision)
    for threads in (2, 3):
        again = convolve(library, feats, weight, cloud.handle, precision, threads=threads)
        assert np.array_equal(again, found)


@pytest.mark.parametrize("precision", [HIGH, FAST])
@pytest.mark.parametrize("before", [1, 37])
def test_company_changes_no_bit(library: Any, cloud: Cloud, precision: int, before: int) -> None:
    """A cloud behind another one has its rows in other tiles and beside other rows."""
    feats, weight = numbers((700 + before, 33)), numbers((27, 33, 40), 1)
    keys = np.concatenate([keys_of_cloud(before, 5), cloud.keys + STEP_BATCH])
    handle = library.c3d_map_submanifold(keys.ctypes.data, len(keys), 3, 1)
    batched = convolve(library, feats, weight, handle, precision)
    library.c3d_map_free(handle)
    alone = convolve(library, feats[before:], weight, cloud.handle, precision)
    assert np.array_equal(batched[before:], alone)


@pytest.mark.parametrize("precision", [HIGH, FAST])
def test_a_row_that_is_no_number_spoils_only_those_that_see_it(
    library: Any, cloud: Cloud, precision: int
) -> None:
    feats, weight = numbers((700, 33)), numbers((27, 33, 40), 1)
    clean = convolve(library, feats, weight, cloud.handle, precision)
    feats[350] = np.nan
    spoilt = convolve(library, feats, weight, cloud.handle, precision)
    seeing = np.zeros(700, dtype=bool)
    for targets, sources in cloud.pairs:
        seeing[targets[sources == 350]] = True
    assert np.isnan(spoilt[seeing]).all()
    assert np.array_equal(spoilt[~seeing], clean[~seeing])


@pytest.mark.parametrize("precision", [HIGH, FAST])
def test_the_epilogue_follows_the_sum(library: Any, cloud: Cloud, precision: int) -> None:
    feats, weight = numbers((700, 33)), numbers((27, 33, 45), 1)
    base, residual = numbers((700, 45), 2), numbers((700, 45), 3)
    scale, shift = numbers((45,), 4), numbers((45,), 5)
    plain = convolve(library, feats, weight, cloud.handle, precision)
    right = np.maximum((plain + base) * scale + shift + residual, 0)
    epilogue = native.EpilogueStruct(
        scale.ctypes.data, shift.ctypes.data, ctypes.pointer(rows_of(base)),
        ctypes.pointer(rows_of(residual)), 1,
    )  # fmt: skip
    found = convolve(library, feats, weight, cloud.handle, precision, epilogue=epilogue)
    assert np.allclose(found, right, rtol=1e-5, atol=1e-5)
    convolve(library, feats, weight, cloud.handle, precision, epilogue=epilogue, target=residual)
    assert np.array_equal(residual, found)


@pytest.mark.parametrize("precision", [HIGH, FAST])
def test_strided_maps_run_both_ways(library: Any, cloud: Cloud, precision: int) -> None:
    parents, parent_rows = np.empty(700, dtype=np.int64), np.empty(700, dtype=np.int32)
    coarse = library.c3d_coarsen(
        cloud.keys.ctypes.data, 700, parents.ctypes.data, parent_rows.ctypes.data
    )
    handle = library.c3d_map_strided(
        cloud.keys.ctypes.data, 700, parent_rows.ctypes.data, coarse, 1
    )
    fine, weight = numbers((700, 40)), numbers((8, 40, 36), 1)
    steps = (STEP_X, STEP_Y, 1)
    corner = sum((((cloud.keys // step) & 1) * 2 ** (2 - i) for i, step in enumerate(steps)))
    down = np.zeros((coarse, 36))
    np.add.at(down, parent_rows, np.einsum("rc,rcd->rd", fine, weight[corner]))
    bound = 5e-5 if precision == HIGH else 1e-2
    empty = np.full((coarse, 36), np.nan, dtype=np.float32)
    assert error(convolve(library, fine, weight, handle, precision, target=empty), down) < bound
    feats = numbers((coarse, 40), 2)
    up = np.einsum("rc,rcd->rd", feats[parent_rows], weight[corner])
    filled = np.full((700, 36), np.nan, dtype=np.float32)
    convolve(library, feats, weight, handle, precision, reverse=1, target=filled)
    assert error(filled, up) < bound
    library.c3d_map_free(handle)


@pytest.mark.parametrize("precision", [HIGH, FAST])
def test_transposed_weights_pack_alike(library: Any, precision: int) -> None:
    weight = numbers((3, 45, 70))
    turned = pack(library, weight, precision, transpose=True)
    assert np.array_equal(turned, pack(library, weight.transpose(0, 2, 1), precision))


@pytest.mark.parametrize(("cin", "cout"), CHANNELS)
def test_fast_weight_gradients_multiply_bf16_numbers(
    library: Any, cloud: Cloud, cin: int, cout: int
) -> None:
    feats, grads = numbers((700, cin)), numbers((700, cout), 1)
    found = gradient(library, feats, grads, cloud.handle, FAST)
    x, g = near(feats).astype(np.float64), near(grads).astype(np.float64)
    right = np.stack([x[sources].T @ g[targets] for targets, sources in cloud.pairs])
    assert error(found, right) < 1e-6
    again = gradient(library, bits_of(feats), bits_of(grads), cloud.handle, FAST, 3)
    assert np.array_equal(again, found)


def test_high_weight_gradients_stay_float32(library: Any, cloud: Cloud) -> None:
    feats, grads = numbers((700, 33)), numbers((700, 45), 1)
    exact = gradient(library, feats, grads, cloud.handle, EXACT)
    assert np.array_equal(gradient(library, feats, grads, cloud.handle, HIGH), exact)
