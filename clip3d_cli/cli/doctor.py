"""``clip3d doctor``: check whether this machine can label, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from clip3d_cli.cli.options import AsJson

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCHEMA = "clip3d.doctor/1"
GOOD, NOTE, FAULT = "good", "note", "fault"
_MARK_OF_STATE = {GOOD: "ok  ", NOTE: "note", FAULT: "FAIL"}
_TRIAL_CLASSES = ("road", "car", "building")


def doctor(as_json: AsJson = False) -> int:
    """Check whether this machine can label scans.

    Prints versions, devices, weights and caches, and labels a small synthetic scan. The exit code
    is 4 if the default weights cannot label on this machine. Please include the output in bug
    reports.

    \b
    Examples:
      clip3d doctor
      clip3d doctor --json > machine.json
    """  # noqa: D301
    from clip3d_cli.cli.terminal import print_json, print_result

    findings = examine()
    healthy = all(finding.state != FAULT for finding in findings)
    if as_json:
        entries = [asdict(finding) for finding in findings]
        print_json({"schema": SCHEMA, "healthy": healthy, "findings": entries})
        return 0 if healthy else 4
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print_result(f"{_MARK_OF_STATE[finding.state]}  {finding.what:{width}}  {finding.text}")
        if finding.hint:
            print_result(f"    {'':{width}}  hint: {finding.hint}")
    return 0 if healthy else 4


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Attributes:
        what: what was checked, in a word or two.
        state: ``good``, ``note`` (something optional is missing) or ``fault`` (labelling cannot
            run).
        text: the result.
        hint: what to do about it; empty if nothing.
    """

    what: str
    state: str
    text: str
    hint: str = ""


def examine() -> list[Finding]:
    """Run all checks; a check that fails does not stop the others."""
    from clip3d_cli.cli.errors import to_clip3d_error

    checks: tuple[tuple[str, str, Callable[[], Iterator[Finding]]], ...] = (
        ("packages", FAULT, _packages),
        ("devices", FAULT, _devices),
        ("torchvision", NOTE, _torchvision),
        ("engine", FAULT, _engine),
        ("backends", NOTE, _backends),
        ("weights", FAULT, _weights),
        ("cache", NOTE, _cache),
        ("trial run", FAULT, _trial),
    )
    findings: list[Finding] = []
    for what, state_of_failure, check in checks:
        try:
            findings += check()
        except Exception as error:  # noqa: BLE001 - a failed check is a finding
            converted = to_clip3d_error(error)
            text = f"{converted.where}: {converted.fault}"
            findings.append(Finding(what, state_of_failure, text, converted.remedy))
    return findings


def _packages() -> Iterator[Finding]:
    from clip3d_cli import __version__
    from clip3d_cli.labelling.installation import check_installation

    machine = f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores"
    yield Finding("clip3d", GOOD, f"{__version__}, {machine}")
    installation = check_installation()
    installed = ", ".join(f"{name} {number}" for name, number in installation.versions.items())
    yield Finding("packages", GOOD, installed)
    if installation.missing:
        missing = ", ".join(installation.missing)
        yield Finding("packages", FAULT, f"missing: {missing}", "Install clip3d again.")
    elif installation.is_light:
        yield Finding(
            "packages",
            NOTE,
            "complete for labelling on a CPU; not installed: "
            f"{', '.join(installation.left_out)} (for GPUs, training and evaluation)",
            "To add them: pip install clip3d",
        )


def _devices() -> Iterator[Finding]:
    from clip3d_cli.labelling.device import choose_device, device_names

    device, reason = choose_device("auto")
    text = f"{', '.join(device_names())}; auto chooses {device} ({reason})"
    yield Finding("devices", GOOD, text)


def _torchvision() -> Iterator[Finding]:
    from clip3d_cli.labelling.installation import has_torch

    if not has_torch():
        return
    # A torchvision that was built for another torch fails only on import.
    import_module("torchvision")
    yield Finding("torchvision", GOOD, f"{version('torchvision')}, fits torch (for openclip)")


def _engine() -> Iterator[Finding]:
    from clip3d_cli.labelling.open_encoder import why_not_native
    from clip3d_cli.native.library import engine_status

    reason = why_not_native()
    if reason is None:
        engine = engine_status()
        text = f"CPU labelling uses the native engine: {engine.isa}, {engine.max_threads} threads"
        yield Finding("engine", GOOD, text)
    else:
        yield Finding(
            "engine",
            NOTE,
            f"CPU labelling uses PyTorch, which is slower: {reason}",
            "Install a C compiler, then run: python -m clip3d_cli.native.build",
        )


def _backends() -> Iterator[Finding]:
    from clip3d_cli import registry
    from clip3d_cli.labelling.installation import has_torch

    if not has_torch():
        return
    reasons = {
        name: registry.load("backends", name)().unavailable_reason()
        for name in registry.names("backends")
    }
    ready = ", ".join(name for name, reason in reasons.items() if reason is None)
    yield Finding("backends", GOOD, f"available: {ready}")
    for name, reason in reasons.items():
        if reason is not None:
            yield Finding("backends", NOTE, f"{name} is not available: {reason}")


def _weights() -> Iterator[Finding]:
    from clip3d_cli.encoders.weights_file import file_sha256
    from clip3d_cli.errors import SetupError
    from clip3d_cli.labelling.open_encoder import open_encoder
    from clip3d_cli.text.mini.encoder import WEIGHTS_NAME, MiniTextEncoder
    from clip3d_cli.weights_files import weights_folders

    folders = [folder for folder in weights_folders() if folder.is_dir()]
    for path in (path for folder in folders for path in sorted(folder.glob("*.safetensors"))):
        text = f"{path}: {path.stat().st_size / 1e6:.1f} MB, sha256 {file_sha256(path)}"
        try:
            if path.stem == WEIGHTS_NAME:
                space = MiniTextEncoder(path).space
            else:
                space = open_encoder(path).encoder.spec.space
        except SetupError as error:
            # Only a note: the trial run decides whether the default weights work.
            yield Finding("weights", NOTE, f"{text}, {error.fault}", error.remedy)
        else:
            yield Finding("weights", GOOD, f"{text}, space {space.name}")


def _cache() -> Iterator[Finding]:
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    folder = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = f"{shutil.disk_usage(existing).free / 1e9:.1f} GB free"
    if os.access(existing, os.W_OK):
        yield Finding("cache", GOOD, f"{folder}, {free} (for downloads of openclip)")
    else:
        text = f"{folder} is not writable, {free}"
        yield Finding("cache", NOTE, text, "Set HF_HOME to a writable folder.")


def _trial() -> Iterator[Finding]:
    yield Finding("trial run", GOOD, trial_run())


def trial_run() -> str:
    """Label a synthetic scan with the default weights, file to file; return one line of results.

    Raises:
        Clip3DError: it cannot be labelled on this machine.
    """
    from clip3d_cli.formats.cloud_file import read_cloud, write_labels
    from clip3d_cli.labelling.class_counts import count_classes
    from clip3d_cli.labelling.labeller import Labeller

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "trial.ply"
        write_scan(source, synthetic_street())
        began = time.perf_counter()
        labeller = Labeller.open()
        loaded = time.perf_counter()
        cloud = read_cloud(source)
        labels = labeller.label(cloud, _TRIAL_CLASSES)
        write_labels(labels, source, source.with_suffix(".clip3d.ply"))
        seconds = time.perf_counter() - loaded
    shares = ", ".join(f"{each.entry.name} {each.share:.0%}" for each in count_classes(labels))
    load = loaded - began
    return f"{len(cloud):,} points in {seconds:.1f} s after {load:.1f} s of loading: {shares}"


def synthetic_street() -> npt.NDArray[np.float32]:
    """Return (N, 3) points in metres: a road, a box of the size of a car, and a wall."""
    import numpy as np

    random = np.random.default_rng(0)
    road = random.uniform((-15, -8, 0), (15, 8, 0.02), (12_000, 3))
    car = random.uniform((-2, -1, 0.3), (2, 1, 1.5), (2_000, 3))
    wall = random.uniform((-15, 8, 0), (15, 8.2, 6), (6_000, 3))
    return np.concatenate([road, car, wall]).astype("<f4")


def write_scan(path: Path, xyz: npt.NDArray[np.float32]) -> None:
    """Write (N, 3) float32 points as a binary PLY file."""
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(xyz)}"]
    lines = [*header, *(f"property float {axis}" for axis in "xyz"), "end_header", ""]
    path.write_bytes("\n".join(lines).encode() + xyz.astype("<f4").tobytes())
