"""What ``clip3d doctor`` looks at: packages, devices, weights, caches, and a trial run."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clip3d_cli import __version__, registry
from clip3d_cli.commands.door import refusal_of
from clip3d_cli.errors import SetupError

GOOD, NOTE, FAULT = "good", "note", "fault"
MARKS = {GOOD: "ok  ", NOTE: "note", FAULT: "FAIL"}

_NEEDED = (
    "torch",
    "open_clip_torch",
    "safetensors",
    "numpy",
    "laspy",
    "lazrs",
    "plyfile",
    "typer",
    "rich",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: a word or two.
        state: ``good``, ``note`` (something optional is missing) or ``fault`` (the main job
            cannot run).
        text: what was found.
        hint: what to do about it; empty if nothing.
    """

    what: str
    state: str
    text: str
    hint: str = ""

    def as_entry(self) -> dict[str, str]:
        """The finding as the JSON document carries it."""
        return {"what": self.what, "state": self.state, "text": self.text, "hint": self.hint}


def examine() -> list[Finding]:
    """Everything looked at, in the order of reading; a fault in one look does not stop others."""
    looks: tuple[tuple[str, str, Callable[[], Iterator[Finding]]], ...] = (
        ("packages", FAULT, _packages),
        ("devices", FAULT, _devices),
        ("torchvision", NOTE, _torchvision),
        ("engine", FAULT, _engine),
        ("backends", NOTE, _backends),
        ("tokens", FAULT, _tokens),
        ("weights", FAULT, _weights),
        ("cache", NOTE, _cache),
        ("trial run", FAULT, _trial),
    )
    findings: list[Finding] = []
    for what, gravity, look in looks:
        try:
            findings += look()
        except Exception as error:  # noqa: BLE001 - a doctor reports what is broken
            refusal = refusal_of(error)
            text = f"{refusal.where}: {refusal.fault}"
            findings.append(Finding(what, gravity, text, refusal.remedy))
    return findings


def _packages() -> Iterator[Finding]:
    machine = f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} cores"
    yield Finding("clip3d", GOOD, f"{__version__}, {machine}")
    found, missing = [], []
    for name in _NEEDED:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    yield Finding("packages", GOOD, ", ".join(found))
    if missing:
        yield Finding("packages", FAULT, f"missing: {', '.join(missing)}", "Install clip3d again.")


def _devices() -> Iterator[Finding]:
    from clip3d_cli.labelling.devices import choose_device, device_names

    device, reason = choose_device("auto")
    yield Finding("devices", GOOD, f"{', '.join(device_names())}; auto takes {device} ({reason})")


def _torchvision() -> Iterator[Finding]:
    # A build for another torch fails only when it is imported.
    import_module("torchvision")
    yield Finding("torchvision", GOOD, f"{version('torchvision')}, fits torch (for openclip)")


def _engine() -> Iterator[Finding]:
    from clip3d_cli.labelling.open_encoder import native_hindrance
    from clip3d_cli.native.library import status

    hindrance = native_hindrance()
    if hindrance is None:
        found = status()
        text = f"on the CPU the native one runs: {found.isa}, {found.max_threads} threads"
        yield Finding("engine", GOOD, text)
    else:
        yield Finding(
            "engine",
            NOTE,
            f"on the CPU PyTorch computes, more slowly: {hindrance}",
            "Install a C compiler, then run: python -m clip3d_cli.native.build",
        )


def _backends() -> Iterator[Finding]:
    reasons = {
        name: registry.part("backends", name)().available() for name in registry.names("backends")
    }
    ready = ", ".join(name for name, reason in reasons.items() if reason is None)
    yield Finding("backends", GOOD, f"{ready} can run here")
    for name, reason in reasons.items():
        if reason is not None:
            yield Finding("backends", NOTE, f"{name} cannot: {reason}")


def _tokens() -> Iterator[Finding]:
    from clip3d_cli.text.bpe import ClipTokenizer, vocabulary_path

    ClipTokenizer.installed()
    yield Finding("tokens", GOOD, f"{vocabulary_path()} (for words that mini has no vector of)")


def _weights() -> Iterator[Finding]:
    from clip3d_cli.encoders.weights_file import file_sha256
    from clip3d_cli.labelling.open_encoder import open_encoder
    from clip3d_cli.text.mini.encoder import WEIGHTS_NAME, MiniTextEncoder

    folders = [folder for folder in registry.weights_folders() if folder.is_dir()]
    for path in (path for folder in folders for path in sorted(folder.glob("*.safetensors"))):
        text = f"{path}: {path.stat().st_size / 1e6:.1f} MB, sha256 {file_sha256(path)}"
        try:
            if path.stem == WEIGHTS_NAME:
                space = MiniTextEncoder(path).space
            else:
                space = open_encoder(path).encoder.spec.space
        except SetupError as refusal:
            # The default ones are loaded again by the trial run, which decides.
            yield Finding("weights", NOTE, f"{text}, {refusal.fault}", refusal.remedy)
        else:
            yield Finding("weights", GOOD, f"{text}, space {space.name}")


def _cache() -> Iterator[Finding]:
    home = os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    folder = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = f"{shutil.disk_usage(there).free / 1e9:.1f} GB free"
    if os.access(there, os.W_OK):
        yield Finding("cache", GOOD, f"{folder}, {free} (for openclip's downloads)")
    else:
        yield Finding(
            "cache", NOTE, f"{folder} may not be written to, {free}", "Set HF_HOME to a folder."
        )


def _trial() -> Iterator[Finding]:
    from clip3d_cli.commands.looking.trial import trial_run

    yield Finding("trial run", GOOD, trial_run())
