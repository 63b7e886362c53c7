"""LZF, the compression of PCD's ``binary_compressed`` (M. Lehmann's format).

A control byte below 32 starts a literal run of that many bytes plus one. Any other control byte
starts a copy of earlier bytes: its upper three bits are the length less two (7 means that a further
byte is added to it), its lower five bits are the upper bits of the distance less one, whose lower
eight bits follow.
"""

from __future__ import annotations

import numpy as np

# Three bytes, a copy of the greatest length, stand for 264 bytes.
MAX_EXPANSION = 88

_MAX_RUN = 32


def decompress(packed: bytes, size: int) -> bytes | None:
    """Return the uncompressed bytes, or None if the stream does not give ``size`` bytes."""
    out = bytearray(size)
    read = written = 0
    try:
        while read < len(packed):
            control = packed[read]
            read += 1
            if control < _MAX_RUN:
                stop = written + control + 1
                out[written:stop] = packed[read : read + control + 1]
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
                out[written:stop] = out[source : source + length]
            else:
                # The copy overlaps what it writes: the last bytes repeat.
                period = out[source:written]
                out[written:stop] = (period * (length // len(period) + 1))[:length]
            written = stop
            if written > size:
                return None
    except IndexError:
        return None
    return bytes(out) if written == size == len(out) else None


def compress(raw: bytes) -> bytes:
    """Return an LZF stream of literal runs, three percent longer than ``raw``.

    Two LZF streams, one after the other, are the stream of their contents one after the other.
    """
    whole = len(raw) // _MAX_RUN * _MAX_RUN
    runs = np.empty((whole // _MAX_RUN, _MAX_RUN + 1), np.uint8)  # control byte, 32 literals
    runs[:, 0] = _MAX_RUN - 1
    runs[:, 1:] = np.frombuffer(raw[:whole], np.uint8).reshape(-1, _MAX_RUN)
    rest = raw[whole:]
    return runs.tobytes() + (bytes([len(rest) - 1]) + rest if rest else b"")
