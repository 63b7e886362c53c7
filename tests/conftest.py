from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from clip3d_cli import registry

# Before torch is imported, here and in child processes: on a busy machine, threads that wait for
# each other make tests ten times slower than one thread does.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched from the Hugging Face hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(params=registry.names("backends"))
def backend(request: pytest.FixtureRequest) -> Any:
    """Every backend of sparse convolution that runs here."""
    part = registry.load("backends", request.param)()
    reason = part.unavailable_reason()
    if reason is not None:
        pytest.skip(f"{request.param}: {reason}")
    return part


@pytest.fixture
def device(backend: Any) -> str:
    """A device that the backend computes on."""
    return str(backend.device_types[0])


@pytest.fixture(scope="session")
def test_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A native engine with every instruction set this CPU can run or emulate, or a skip.

    With CLIP3D_SANITIZE=1 (and libasan in LD_PRELOAD) it checks its own memory accesses.
    """
    from clip3d_cli.native.build import BuildError, build

    sanitize = bool(os.environ.get("CLIP3D_SANITIZE"))
    try:
        return build(tmp_path_factory.mktemp("engine"), wide=True, sanitize=sanitize)
    except BuildError as fault:
        pytest.skip(str(fault))
