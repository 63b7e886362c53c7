"""LZF, the compression of PCD's ``binary_compressed`` (M. Lehmann's format).

A control byte below 32 starts a literal run of that many bytes plus one. Any other control byte
starts a copy of earlier bytes: its upper three bits are the length less two (7 means that a further
byte is added to it), its lower five bits are the upper bits of the distance less one, whose lower
eight bits follow.

The work is done by the native engine. Without it, the functions in Python are used, which are
about a hundred times slower and do not compress.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

# Three bytes, a copy of the greatest length, stand for 264 bytes.
MAX_EXPANSION = 88

_MAX_RUN = 32


def decompress(packed: bytes, size: int) -> bytearray | None:
    """Decompress an LZF stream.

    Args:
        packed: the stream.
        size: number of bytes that it must give.

    Returns:
        ``size`` bytes, or None if the stream is damaged or gives another number of bytes.
    """
    engine = _engine()
    if engine is None:
        return decompress_in_python(packed, size)
    raw = bytearray(size)
    buffer = (ctypes.c_char * size).from_buffer(raw)
    status = engine.c3d_lzf_decompress(packed, len(packed), buffer, size)
    return raw if status == 0 else None


def compress(raw: bytes) -> bytes:
    """Return an LZF stream of the bytes, at most three percent longer than they are.

    Two LZF streams, one after the other, are the stream of their contents one after the other.
    """
    engine = _engine()
    if engine is None:
        return literal_runs(raw)
    buffer = ctypes.create_string_buffer(engine.c3d_lzf_max_bytes(len(raw)))
    written = engine.c3d_lzf_compress(raw, len(raw), buffer)
    if written < 0:
        raise MemoryError("no memory for compressing points")
    return bytes(memoryview(buffer)[:written])


def decompress_in_python(packed: bytes, size: int) -> bytearray | None:
    """Do what ``decompress`` does, without the native engine."""
    raw = bytearray(size)
    read = written = 0  # bytes of the stream that were read, bytes of `raw` that were written
    try:
        while read < len(packed):
            control = packed[read]
            read += 1
            if control < _MAX_RUN:
                stop = written + control + 1
                raw[written:stop] = packed[read : read + control + 1]
                read += control + 1
                written = stop
                continue
            length = control >> 5
            if length == 7:
                length += packed[read]
                read += 1
            length += 2
            source = written - ((control & 31) << 8) - packed[read] - 1
            read += 1
            if source < 0:
                return None
            stop = written + length
            if source + length <= written:
                raw[written:stop] = raw[source : source + length]
            else:
                # The copy overlaps what it writes: the last bytes repeat.
                period = raw[source:written]
                raw[written:stop] = (period * (length // len(period) + 1))[:length]
            written = stop
            if written > size:
                return None
    except IndexError:
        return None
    # A literal run that the stream or the size cuts changes the length of `raw`.
    return raw if written == size == len(raw) else None


def literal_runs(raw: bytes) -> bytes:
    """Return an LZF stream of literal runs, three percent longer than the bytes."""
    whole = len(raw) // _MAX_RUN * _MAX_RUN
    runs = np.empty((whole // _MAX_RUN, _MAX_RUN + 1), np.uint8)  # control byte, 32 literals
    runs[:, 0] = _MAX_RUN - 1
    runs[:, 1:] = np.frombuffer(raw[:whole], np.uint8).reshape(-1, _MAX_RUN)
    rest = raw[whole:]
    return runs.tobytes() + (bytes([len(rest) - 1]) + rest if rest else b"")


def _engine() -> Any | None:
    """Return the native engine, or None where it was not built."""
    # Imported here: this module is imported whenever the format of a file is recognised.
    from clip3d_cli.native import library as native

    try:
        return native.load()
    except native.EngineUnavailableError:
        return None
