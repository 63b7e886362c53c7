"""LZF, the packing of PCD's ``binary_compressed``: Marc Lehmann's format, read and written.

A control byte below 32 starts a literal run of that many bytes plus one. Any other starts a copy
from earlier: its upper three bits are the length less two (7: a further byte is added), its lower
five the upper bits of the distance less one, whose lower eight follow.
"""

from __future__ import annotations

import numpy as np

# Three bytes of a copy stand for 264 bytes at most.
MOST_EXPANSION = 88

_RUN = 32


def unpack(packed: bytes, size: int) -> bytes | None:
    """The unpacked bytes, or None where the packed ones do not give ``size`` of them."""
    out = bytearray(size)
    read = written = 0
    try:
        while read < len(packed):
            control = packed[read]
            read += 1
            if control < _RUN:
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
                # A copy of what it writes itself repeats the last bytes.
                period = out[source:written]
                out[written:stop] = (period * (length // len(period) + 1))[:length]
            written = stop
            if written > size:
                return None
    except IndexError:
        return None
    return bytes(out) if written == size == len(out) else None


def pack_literally(raw: bytes) -> bytes:
    """A packed form that any reader unpacks: literal runs, three percent longer than ``raw``.

    Packed forms can be joined: the bytes of both come out, one after the other.
    """
    whole = len(raw) // _RUN * _RUN
    runs = np.empty((whole // _RUN, _RUN + 1), np.uint8)
    runs[:, 0] = _RUN - 1
    runs[:, 1:] = np.frombuffer(raw[:whole], np.uint8).reshape(-1, _RUN)
    rest = raw[whole:]
    return runs.tobytes() + (bytes([len(rest) - 1]) + rest if rest else b"")
