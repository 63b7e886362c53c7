"""Bad input files end in one clear error, within limits of memory and time, and change no file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bad_inputs import CASES, Case
from in_child import Outcome
from sample_clouds import write_ply

from clip3d_cli.weights_files import DEFAULT_WEIGHTS

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and memory limits"),
    pytest.mark.timeout(900),
]


INFO = ("info", "--json")
LABEL = ("label", "--classes", "car")
# Refused on the way to a model: these must not wait until one is loaded.
LABELLED = {
    "missing", "folder", "unreadable", "empty-ply", "html", "pointer", "pipe", "device",
    "trillion-points", "twice-the-points", "endless-vlrs", "scale-0.0", "cut-laz", "lying-layers",
    "killed-writer", "degrees", "trillion-vertices", "endless-ascii", "no-z", "packed-bomb",
    "bin-size", "undecidable", "pickle", "lying-shape",
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A case that was run: its folder before and after, and how clip3d ended."""

    folder: Path
    path: Path
    before: dict[str, bytes]
    outcome: Outcome


Trials = dict[tuple[str, str], Trial]


@pytest.fixture(scope="module")
def trials() -> Iterator[Trials]:
    """All cases by command and name, run by one interpreter that forks for each."""
    # Not pytest's folder: a user without rights must be able to walk down to the file.
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        made = {}
        for case in CASES:
            folder = Path(root) / f"{case.row}-{case.name}"
            folder.mkdir()
            made[case.name] = (folder, case.build(folder))
        before = {name: contents(folder) for name, (folder, _) in made.items()}
        weights = Path(root) / f"{DEFAULT_WEIGHTS}.safetensors"
        weights.touch()
        tasks = [(case, INFO) for case in CASES]
        tasks += [(case, LABEL) for case in CASES if case.name in LABELLED]
        commands = [[*words, *c.options, "--", str(made[c.name][1])] for c, words in tasks]
        outcomes = run_all(commands, write_ply(Path(root) / "warm.ply", 9))
        yield {
            (words[0], case.name): Trial(*made[case.name], before[case.name], outcome)
            for (case, words), outcome in zip(tasks, outcomes, strict=True)
        }


def contents(folder: Path) -> dict[str, bytes]:
    """The regular files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def run_all(commands: list[list[str]], warm_up: Path) -> list[Outcome]:
    """How each command line ended; ``warm_up`` is a valid file."""
    hexed = [[os.fsencode(word).hex() for word in words] for words in commands]
    runner = Path(__file__).parent / "support" / "in_child.py"
    environment = {
        **os.environ,
        "CLIP3D_WEIGHTS": str(warm_up.parent),
        "RUST_BACKTRACE": "0",
        "PYTHONWARNINGS": "error",
    }
    done = subprocess.run(
        [sys.executable, runner, warm_up],
        input=json.dumps(hexed),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=800,
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(**entry) for entry in json.loads(done.stdout)]


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row}-{case.name}")
def test_bad_input(trials: Trials, case: Case) -> None:
    trial = trials["info", case.name]
    require_order(trial, case)
    if case.code is None:
        assert case.says in trial.outcome.out
        assert "error[" not in trial.outcome.err
    else:
        require_refusal(trial, case)


@pytest.mark.parametrize("name", sorted(LABELLED))
def test_labelling_refuses_the_same(trials: Trials, name: str) -> None:
    case = next(case for case in CASES if case.name == name)
    require_order(trials["label", name], case)
    require_refusal(trials["label", name], case)


def require_order(trial: Trial, case: Case) -> None:
    """The expected exit code, no traceback, and no file changed."""
    assert "Traceback" not in trial.outcome.err
    assert trial.outcome.code == case.exits, trial.outcome.err
    assert contents(trial.folder) == trial.before


def require_refusal(trial: Trial, case: Case) -> None:
    """One line with code, file and fault, and a hint."""
    lines = [line for line in trial.outcome.err.splitlines() if line.startswith("error[")]
    assert len(lines) == 1
    assert lines[0].startswith(f"error[{case.code}]: ")
    assert trial.path.name in lines[0]
    assert case.says in trial.outcome.err
    assert "hint: " in trial.outcome.err
