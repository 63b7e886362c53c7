"""Which engine labels, and what is imported for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import plyfile
import pytest
from command_line import CommandLine

from clip3d_cli.cli.doctor import synthetic_street, write_scan
from clip3d_cli.labelling import device as devices
from clip3d_cli.labelling import open_encoder as point_encoders
from clip3d_cli.native import library

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("--classes", "car,tree,wall")
# What labelling a PLY file on a CPU has no use for, each of which takes long to import.
UNUSED = ("torch", "open_clip", "laspy", "lazrs", "plyfile", "scipy", "msgspec", "numpy.random")


@pytest.fixture
def native() -> None:
    reason = library.engine_status().fault
    if reason is not None:
        pytest.skip(f"native: {reason}")


def label_in_child(folder: Path, code: str, threads: int = 1) -> str:
    """Label a scan in another process, then run code there; what it printed."""
    write_scan(folder / "scan.ply", synthetic_street())
    start = "import sys\nfrom clip3d_cli.cli.app import main\n"
    start += f"try:\n main()\nfinally:\n {code}"
    arguments = ("label", "scan.ply", "--classes", "car,tree,zorkmid", "--quiet", "--overwrite")
    threading = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    said = subprocess.run(
        [sys.executable, "-c", start, *arguments, "--device", "cpu"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **threading},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout


@pytest.mark.usefixtures("native")
def test_labelling_on_the_cpu_imports_only_what_it_needs(tmp_path: Path) -> None:
    modules = label_in_child(tmp_path, "print(*sys.modules)").split()
    assert sorted(set(UNUSED) & set(modules)) == []
    assert "clip3d_cli.encoders.native_encoder" in modules


@pytest.mark.usefixtures("native")
def test_the_number_of_threads_changes_no_byte(tmp_path: Path) -> None:
    results = []
    for threads in (1, 3):
        label_in_child(tmp_path, "pass", threads)
        results.append((tmp_path / "scan.clip3d.ply").read_bytes())
    assert results[0] == results[1]


@pytest.mark.usefixtures("native")
def test_both_engines_write_the_same_labels(clip3d: CommandLine, tmp_path: Path) -> None:
    write_scan(tmp_path / "scan.ply", synthetic_street())
    vertices = []
    for backend in ("native", "torch"):
        said = clip3d(
            "label", "scan.ply", *WORDS, "-o", f"{backend}.ply", "--backend", backend, "--json"
        )
        assert said.code == 0, said.err
        assert said.document["backend"] == backend
        vertices.append(plyfile.PlyData.read(tmp_path / f"{backend}.ply")["vertex"])
    first, second = (np.asarray(vertex["scalar_label"]) for vertex in vertices)
    assert (first == second).mean() > 0.999
    scores = (np.asarray(vertex["scalar_score"]) for vertex in vertices)
    np.testing.assert_allclose(*scores, rtol=1e-3)


def test_without_the_library_pytorch_labels_and_says_why(
    clip3d: CommandLine, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = library.EngineStatus(library.FOLDER, "it was not built: no C compiler was found")
    monkeypatch.setattr(point_encoders, "engine_status", lambda: missing)
    said = clip3d("label", scan, *WORDS, "--json", "--device", "cpu", "--backend", "torch")
    assert said.document["backend"] == "torch"
    monkeypatch.setattr(library, "engine_status", lambda *_: missing)
    said = clip3d("label", scan, *WORDS, "--overwrite", "--json", "-v", "--device", "cpu")
    assert said.code == 0
    assert said.document["backend"] == "torch"
    lines = [line for line in said.err.splitlines() if line.startswith("engine: ")]
    assert lines == [
        "engine: torch, through PyTorch, because the native engine is missing: it was not built: "
        "no C compiler was found; precision high"
    ]


@pytest.mark.parametrize("missing", [True, False])
def test_the_doctor_says_which_engine_runs(
    clip3d: CommandLine, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    found = library.EngineStatus(library.FOLDER, "it was not built" if missing else None, "avx2", 3)
    monkeypatch.setattr("clip3d_cli.cli.doctor.import_module", lambda _: None)
    monkeypatch.setattr(point_encoders, "engine_status", lambda: found)
    monkeypatch.setattr(library, "engine_status", lambda *_: found)
    monkeypatch.setattr("clip3d_cli.cli.doctor.trial_run", lambda: "labelled")
    monkeypatch.setattr("clip3d_cli.cli.doctor._weights", lambda: iter(()))
    findings = clip3d("doctor", "--json").document["findings"]
    (engine,) = (each for each in findings if each["what"] == "engine")
    assert engine["state"] == ("note" if missing else "good")
    assert ("it was not built" if missing else "avx2, 3 threads") in engine["text"]
    assert ("native.build" in engine["hint"]) == missing


def test_a_gpu_is_looked_for_in_drivers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(devices, "_ROCM_DRIVER", tmp_path / "none")
    monkeypatch.setattr(devices, "_CUDA_DRIVER", "libno-such-driver.so.1")
    assert not devices.may_have_gpu()
    assert devices.choose_device("auto") == ("cpu", "found no GPU")
    monkeypatch.setattr(devices, "_ROCM_DRIVER", tmp_path)
    assert devices.may_have_gpu()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert devices.may_have_gpu()


def test_a_driver_without_devices_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        devices = 0

        def cuInit(self, _: int) -> int:  # noqa: N802
            return 0

        def cuDeviceGetCount(self, count: object) -> int:  # noqa: N802
            count._obj.value = self.devices  # type: ignore[attr-defined]
            return 0

    driver = Driver()
    monkeypatch.setattr("ctypes.CDLL", lambda _: driver)
    assert not devices._has_cuda_devices()
    driver.devices = 2
    assert devices._has_cuda_devices()
