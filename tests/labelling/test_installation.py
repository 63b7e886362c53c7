"""Labelling on a CPU without PyTorch, open_clip and all else that it can do without."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from clip3d_cli.errors import SetupError
from clip3d_cli.labelling import installation
from clip3d_cli.labelling.device import choose_device, device_names
from clip3d_cli.labelling.installation import LABELLING_PACKAGES, check_installation
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.native.library import engine_status
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.weights_files import shipped_weights

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
STREET = ROOT / "examples" / "street.ply"
IN_LEXICON = "road,building,tree,car"
# The last two are read by the network through CLIP's tokens.
WORDS = f"{IN_LEXICON},half-timbered gatehouse,Übergangsbrücke №5"


def run_clip3d(program: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command of clip3d with the shipped weights in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "CLIP3D_WEIGHTS"}
    return subprocess.run(
        [*program, *map(str, arguments)],
        env={**environment, "HF_HUB_OFFLINE": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
    )


def without_packages(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as if only the packages of requirements-light.txt were installed."""
    script = ROOT / "tests" / "support" / "only_light_packages.py"
    return run_clip3d([sys.executable, str(script)], *arguments)


def test_words_of_this_test_are_in_and_out_of_the_lexicon() -> None:
    *known, gatehouse, bridge = WORDS.split(",")
    offsets = MiniTextEncoder()._lexicon.offsets([*known, gatehouse, bridge.lower()])
    assert sorted(offsets) == sorted(known)


@pytest.mark.parametrize("words", [IN_LEXICON, WORDS], ids=["in", "in and out"])
def test_labels_are_the_same_with_few_packages(words: str, tmp_path: Path) -> None:
    light, full = tmp_path / "light.ply", tmp_path / "full.ply"
    arguments = ("label", STREET, "--classes", words, "--device", "cpu", "--json")
    run = without_packages(*arguments, "-o", light)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["results"][0]["points"] == 61_946
    assert run_clip3d([sys.executable, "-m", "clip3d_cli"], *arguments, "-o", full).returncode == 0
    assert light.read_bytes() == full.read_bytes()


@pytest.mark.parametrize(
    "arguments",
    [["doctor", "--json"], ["info", STREET], ["vocabularies"], ["label", "--help"]],
    ids=lambda arguments: arguments[0],
)
def test_other_commands_run_with_few_packages(arguments: list[object]) -> None:
    run = without_packages(*arguments)
    assert run.returncode == 0, run.stderr


def test_doctor_calls_few_packages_complete_for_labelling() -> None:
    findings = json.loads(without_packages("doctor", "--json").stdout)["findings"]
    states = {finding["state"] for finding in findings}
    assert states == {"good", "note"}
    (note,) = [finding for finding in findings if finding["state"] == "note"]
    assert "complete for labelling on a CPU" in note["text"]
    assert "torch" in note["text"]


@pytest.mark.parametrize(
    ("option", "code"),
    [
        (["--device", "cuda"], "E_DEVICE"),
        (["--backend", "torch"], "E_BACKEND"),
        (["--text-encoder", "openclip"], "E_SYSTEM"),
    ],
)
def test_options_that_need_more_are_rejected(option: list[str], code: str, tmp_path: Path) -> None:
    run = without_packages(
        "label", STREET, "--classes", "road", *option, "-o", tmp_path / "labels.ply"
    )
    assert run.returncode == 4
    assert f"error[{code}]" in run.stderr
    assert "torch" in run.stderr


def test_without_torch_devices_are_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    monkeypatch.setattr("clip3d_cli.labelling.device.may_have_gpu", lambda: True)
    assert choose_device("auto") == ("cpu", "GPUs need PyTorch, not installed here")
    assert device_names() == ["cpu"]
    with pytest.raises(SetupError, match=r"E_DEVICE.*needs PyTorch") as caught:
        choose_device("cuda")
    assert "--device cpu" in caught.value.remedy
    with pytest.raises(SetupError, match=r"E_BACKEND.*--backend torch was") as caught:
        open_encoder(shipped_weights("points-default"), backend="torch")
    assert "--backend native" in caught.value.remedy
    missing = replace(engine_status(), fault="no compiler")
    monkeypatch.setattr("clip3d_cli.labelling.open_encoder.engine_status", lambda: missing)
    with pytest.raises(SetupError, match=r"E_BACKEND.*is missing: no compiler") as caught:
        open_encoder(shipped_weights("points-default"))
    assert "clip3d_cli.native.build" in caught.value.remedy


def test_packages_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    absent: set[str] = set()

    def version(name: str) -> str:
        if name in absent:
            raise metadata.PackageNotFoundError(name)
        return "1"

    declared = [
        "numpy>=1",
        "torch>=2",
        "tomli; python_version < '3.11'",
        "matplotlib; extra == 'x'",
    ]
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda name: declared)
    full = check_installation()
    assert (full.missing, full.left_out, full.is_light) == ((), (), False)
    assert set(full.versions) == {*LABELLING_PACKAGES, "torch"}
    absent.add("torch")
    light = check_installation()
    assert (light.missing, light.left_out, light.is_light) == ((), ("torch",), True)
    absent.add("numpy")
    broken = check_installation()
    assert (broken.missing, broken.left_out, broken.is_light) == (("numpy",), ("torch",), False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_labels_are_the_same_in_a_light_environment(tmp_path: Path) -> None:
    """The wheel without its dependencies, and what requirements-light.txt names: no PyTorch."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=250)
    (wheel,) = tmp_path.glob("*.whl")
    if wheel.name.endswith("-none-any.whl"):
        pytest.skip("no C compiler: the wheel has no native engine")
    environment = tmp_path / "environment"
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    if find_spec("uv"):
        make = [sys.executable, "-m", "uv", "venv", "--quiet", str(environment)]
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    else:
        make = [sys.executable, "-m", "venv", str(environment)]
        install = [str(python), "-m", "pip", "install", "--quiet"]
    requirements = ["--requirement", str(ROOT / "requirements-light.txt")]
    for command in (make, [*install, *requirements], [*install, "--no-deps", str(wheel)]):
        subprocess.run(command, check=True, timeout=500)
    installed = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file())
    assert installed < 250e6, "much more than labelling needs"
    light, full = tmp_path / "light.ply", tmp_path / "full.ply"
    arguments = ("label", STREET, "--classes", WORDS, "--device", "cpu")
    # Isolated, so that Python imports the wheel and not this checkout.
    run = run_clip3d([str(python), "-I", "-m", "clip3d_cli"], *arguments, "-o", light)
    assert run.returncode == 0, run.stderr
    run = run_clip3d([sys.executable, "-m", "clip3d_cli"], *arguments, "-o", full)
    assert run.returncode == 0, run.stderr
    assert light.read_bytes() == full.read_bytes()
    assert run_clip3d([str(python), "-I", "-m", "clip3d_cli"], "doctor").returncode == 0


def test_the_requirements_file_agrees_with_the_package() -> None:
    """Same packages as the code names, same bounds as the project declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "requirements-light.txt").read_text(encoding="utf-8").splitlines()
    light = {line for line in lines if not line.startswith("#")}
    assert light <= set(project["dependencies"])
    names = {re.split(r"[^\w.-]", line)[0] for line in light}
    assert names == {*LABELLING_PACKAGES, "tomli"}
    guide = (ROOT / "docs" / "guides" / "light-install.md").read_text(encoding="utf-8")
    assert all(f'"{line}"' in guide for line in light if ";" not in line)
