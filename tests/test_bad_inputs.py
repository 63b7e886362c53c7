"""Every broken file ends in one clear line, in bounded memory and time, and leaves no trace."""

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

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and memory limits"),
    pytest.mark.timeout(900),
]


@dataclass(frozen=True)
class Trial:
    """A case that was run: its folder before and after, and how clip3d ended."""

    folder: Path
    path: Path
    before: dict[str, bytes]
    outcome: Outcome


@pytest.fixture(scope="module")
def trials() -> Iterator[dict[str, Trial]]:
    """All cases by name, run by one interpreter that forks for each."""
    # Not pytest's folder: a user without rights must be able to walk down to the file.
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        made = {}
        for case in CASES:
            folder = Path(root) / f"{case.row}-{case.name}"
            folder.mkdir()
            made[case.name] = (folder, case.build(folder))
        before = {name: contents(folder) for name, (folder, _) in made.items()}
        commands = [["info", "--json", *c.options, "--", str(made[c.name][1])] for c in CASES]
        outcomes = run_all(commands, write_ply(Path(root) / "warm.ply", 9))
        yield {
            case.name: Trial(*made[case.name], before[case.name], outcome)
            for case, outcome in zip(CASES, outcomes, strict=True)
        }


def contents(folder: Path) -> dict[str, bytes]:
    """The regular files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def run_all(commands: list[list[str]], warm_up: Path) -> list[Outcome]:
    """How each command line ended; ``warm_up`` is a sound file."""
    hexed = [[os.fsencode(word).hex() for word in words] for words in commands]
    runner = Path(__file__).with_name("in_child.py")
    environment = {**os.environ, "RUST_BACKTRACE": "0", "PYTHONWARNINGS": "error"}
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
def test_bad_input(trials: dict[str, Trial], case: Case) -> None:
    trial = trials[case.name]
    outcome = trial.outcome
    assert "Traceback" not in outcome.err
    assert outcome.code == case.exits, outcome.err
    assert contents(trial.folder) == trial.before
    if case.code is None:
        assert case.says in outcome.out
        assert "error[" not in outcome.err
        return
    line = next(line for line in outcome.err.splitlines() if line.startswith("error["))
    assert line.startswith(f"error[{case.code}]: ")
    assert trial.path.name in line
    assert case.says in outcome.err
    assert "hint: " in outcome.err
