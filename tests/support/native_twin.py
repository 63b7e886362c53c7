"""A PyTorch encoder's network on the native engine."""

from __future__ import annotations

from typing import Any

import pytest

from clip3d_cli.encoders.native_encoder import NativeEncoder
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.native.library import engine_status


def native_twin(encoder: PointEncoder, **options: Any) -> NativeEncoder:
    """A native encoder with the same weights; skips the test if there is no library."""
    reason = engine_status().fault
    if reason is not None:
        pytest.skip(f"native: {reason}")
    state = {name: value.numpy() for name, value in encoder.network.state_dict().items()}
    return NativeEncoder(encoder.spec, state, **options)
