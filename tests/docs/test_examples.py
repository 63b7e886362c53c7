"""The examples and the commands of the documentation do what they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from clip3d_cli.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_RUN = re.compile(r"<!-- run -->\n+```sh\n(.*?)```", re.DOTALL)
# Placeholders that stand for a value of an option.
_VALUES = {"N": "2", "SHARE": "0.5", "METRES": "0.2"}


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with a copy of the examples."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "MPLBACKEND": "agg"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        shell=isinstance(command, str),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def runnable_blocks() -> list[Any]:
    return [
        pytest.param(match[1], id=f"{page.stem}-{number}")
        for page in PAGES
        for number, match in enumerate(_RUN.finditer(page.read_text(encoding="utf-8")))
    ]


def code_lines(page: Path) -> list[str]:
    """The lines of fenced and indented code blocks."""
    lines, fenced = [], False
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(line.strip())
    return lines


def documented_commands() -> list[Any]:
    """Every line of a code block that starts with clip3d."""
    return [
        pytest.param(line, id=f"{page.stem}: {line[:60]}")
        for page in PAGES
        for line in code_lines(page)
        if line.startswith("clip3d ")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("block", runnable_blocks())
def test_marked_examples_run(block: str, workplace: Path) -> None:
    if "examples/street.clip3d.ply" in block:
        label = 'clip3d label examples/street.ply --classes "road,tree" -q --overwrite'
        assert run(label, workplace).returncode == 0
    done = run("set -e\n" + block, workplace)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", documented_commands())
def test_documented_commands_have_known_options(command: str) -> None:
    # Without what follows a pipe or &&, and without comments.
    words = shlex.split(command, comments=True)
    for separator in ("&&", "|", ";"):
        if separator in words:
            words = words[: words.index(separator)]
    group: Any = typer.main.get_command(app)
    name, *arguments = words[1:]
    if name.startswith("-"):
        return
    assert name in group.commands, f"there is no command {name}"
    arguments = [_VALUES.get(word, word) for word in arguments]
    parsed = group.commands[name].make_context(name, arguments, resilient_parsing=False)
    assert parsed is not None


def test_there_are_documented_commands() -> None:
    assert len(documented_commands()) > 20
    assert len(runnable_blocks()) >= 3


@pytest.mark.slow
def test_the_notebook_runs(workplace: Path) -> None:
    cells = json.loads((workplace / "examples" / "notebook.ipynb").read_text("utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    script = workplace / "notebook.py"
    script.write_text("\n".join(sources), encoding="utf-8")
    done = run([sys.executable, str(script)], workplace / "examples")
    assert done.returncode == 0, done.stderr
    assert "road" in done.stdout
    assert (workplace / "examples" / "street.clip3d.ply").is_file()


def test_the_notebook_has_no_outputs() -> None:
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text("utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120
