from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans, or a skip where it is not at hand."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    return folder


@pytest.fixture(scope="session")
def shared_oracles() -> Path:
    """The folder of other implementations' results, or a skip where it is not at hand."""
    folder = SHARED / "oracles"
    if not folder.is_dir():
        pytest.skip("needs ../shared/oracles")
    return folder
