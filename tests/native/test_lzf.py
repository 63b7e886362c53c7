"""LZF in the native engine: against a byte by byte reader, on damaged streams, within its bounds.

Every buffer is allocated by the C library in its exact size, so that the address sanitizer sees an
access one byte beyond it (see CONTRIBUTING.md).
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_clouds import lzf_pack, lzf_unpack

from clip3d_cli.formats.pcd import lzf
from clip3d_cli.native import library as native

LIBC = ctypes.CDLL(None)
LIBC.malloc.restype, LIBC.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
LIBC.free.argtypes = (ctypes.c_void_p,)
GUARD = 0xA5


@pytest.fixture(scope="module")
def engine(test_engine: Path) -> Any:
    return native.load(test_engine)


@contextmanager
def allocated(size: int, content: bytes = b"") -> Iterator[int]:
    """The address of memory of that size."""
    address = LIBC.malloc(max(size, 1))
    try:
        ctypes.memset(address, GUARD, size)
        ctypes.memmove(address, content, len(content))
        yield address
    finally:
        LIBC.free(address)


def decompress(engine: Any, packed: bytes, size: int) -> bytes | None:
    with ExitStack() as stack:
        source = stack.enter_context(allocated(len(packed), packed))
        target = stack.enter_context(allocated(size))
        status = engine.c3d_lzf_decompress(source, len(packed), target, size)
        assert status in (native.OK, native.BAD_ARGUMENT)
        return ctypes.string_at(target, size) if status == native.OK else None


def compress(engine: Any, raw: bytes) -> bytes:
    room = engine.c3d_lzf_max_bytes(len(raw))
    with ExitStack() as stack:
        source = stack.enter_context(allocated(len(raw), raw))
        target = stack.enter_context(allocated(room))
        written = engine.c3d_lzf_compress(source, len(raw), target)
        assert 0 <= written <= room
        return ctypes.string_at(target, written)


# Bytes with repetitions, so that streams have copies of all lengths and distances.
REPEATED = st.builds(
    lambda parts: b"".join(part * times for part, times in parts),
    st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(1, 60)), max_size=12),
)


@given(raw=REPEATED)
@settings(deadline=None)
def test_what_is_compressed_is_read_by_others(engine: Any, raw: bytes) -> None:
    assert lzf_unpack(compress(engine, raw)) == raw


@given(raw=REPEATED)
@settings(deadline=None)
def test_what_others_compress_is_read(engine: Any, raw: bytes) -> None:
    assert decompress(engine, lzf_pack(raw), len(raw)) == raw


@given(packed=st.binary(max_size=80), size=st.integers(0, 400))
@settings(max_examples=500, deadline=None)
def test_any_bytes_give_what_the_python_version_gives(
    engine: Any, packed: bytes, size: int
) -> None:
    expected = lzf.decompress_in_python(packed, size)
    assert decompress(engine, packed, size) == expected


@pytest.mark.parametrize("raw", [b"", b"a", b"ab", b"abc", bytes(264), bytes(265), bytes(10_000)])
def test_lengths_at_the_limits(engine: Any, raw: bytes) -> None:
    packed = compress(engine, raw)
    assert lzf_unpack(packed) == decompress(engine, packed, len(raw)) == raw


@pytest.mark.parametrize("distance", [1, 2, 7, 8, 9, 8191, 8192, 8193])
def test_copies_from_every_distance(engine: Any, distance: int) -> None:
    raw = random.Random(distance).randbytes(distance)
    raw += (raw * 600)[:600]
    packed = compress(engine, raw)
    assert lzf_unpack(packed) == decompress(engine, packed, len(raw)) == raw
    saved = len(lzf.literal_runs(raw)) - len(packed)
    assert saved > 500 if distance <= 8192 else saved < 50


def test_noise_takes_no_more_than_the_limit(engine: Any) -> None:
    raw = random.Random(0).randbytes(100_000)
    packed = compress(engine, raw)
    assert len(packed) <= engine.c3d_lzf_max_bytes(len(raw)) < len(raw) * 1.04
    assert decompress(engine, packed, len(raw)) == raw


def test_a_stream_that_is_cut_is_rejected(engine: Any) -> None:
    raw = b"literals, literals again, " * 20 + random.Random(0).randbytes(90) + bytes(300)
    packed = compress(engine, raw)
    for stop in range(len(packed)):
        assert decompress(engine, packed[:stop], len(raw)) is None


@pytest.mark.parametrize("off", [-1000, -33, -8, -1, 1, 33, 1000])
def test_another_length_than_claimed_is_rejected(engine: Any, off: int) -> None:
    raw = b"literals, literals again, " * 20 + random.Random(0).randbytes(600) + bytes(300)
    assert decompress(engine, compress(engine, raw), len(raw) + off) is None


def test_damaged_streams_stay_within_their_buffers(engine: Any) -> None:
    dice = random.Random(0)
    raw = b"".join(bytes([dice.randrange(4)]) * dice.randrange(1, 30) for _ in range(300))
    packed = compress(engine, raw)
    for _ in range(2000):
        damaged = bytearray(packed)
        for _ in range(dice.choice([1, 2, 8])):
            damaged[dice.randrange(len(damaged))] = dice.choice([0, 31, 32, 224, 255])
        damaged = damaged[: dice.randrange(1, len(damaged) + 1)]
        size = max(0, len(raw) + dice.choice([0, 0, -7, 7, -500]))
        expected = lzf.decompress_in_python(bytes(damaged), size)
        assert decompress(engine, bytes(damaged), size) == expected
