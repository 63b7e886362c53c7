from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from command_line import CommandLine

from clip3d_cli.cli.doctor import write_scan
from clip3d_cli.errors import InputError

WORDS = ("--classes", "car,tree")
START = "from clip3d_cli.cli.app import main; main()"


def child(*arguments: str, code: str = START) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [("--help",), ("label", "--help"), ("--version",)])
def test_help_imports_neither_torch_nor_numpy(arguments: tuple[str, ...]) -> None:
    code = (
        "import json, sys\n"
        "from clip3d_cli.cli.app import main\n"
        "try: main()\n"
        "finally: print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    said = child(*arguments, code=code)
    modules = json.loads(said.stderr)
    assert said.returncode == 0
    assert not {"torch", "numpy", "rich", "laspy"} & set(modules)


@pytest.mark.parametrize("command", ["label", "info", "vocabularies", "words", "doctor"])
def test_every_command_s_help_ends_its_text_with_two_examples(
    clip3d: CommandLine, command: str
) -> None:
    said = clip3d(command, "-h")
    assert said.code == 0
    examples = said.out.partition("Examples:")[2].splitlines()[1:3]
    assert [line.split()[:2] for line in examples] == [["clip3d", command]] * 2


USAGE = [
    ((), "E_CLASSES", "no classes given"),
    (("--classes", ""), "E_CLASSES", "names no class"),
    (("--classes", " , ,"), "E_CLASSES", "names no class"),
    (("--classes", "=sedan"), "E_CLASSES", "has no name"),
    (("--classes", "a\x1b[31mb"), "E_CLASSES", "control character"),
    (("--classes", "@missing.txt"), "E_CLASSES", "there is no file missing.txt"),
    (("--classes", "scan.ply"), "E_CLASSES", "is a file"),
    (("--classes", "@scan.ply"), "E_CLASSES", "is not UTF-8 text"),
    (("--classes", "missing.toml"), "E_CLASSES", "there is no file"),
    (("--classes", "a", "--vocabulary", "asprs"), "E_CLASSES", "both"),
    (("--vocabulary", "nuscense16"), "E_UNKNOWN_NAME", "nuscense16"),
    ((*WORDS, "--text-encoder", "minni"), "E_UNKNOWN_NAME", "minni"),
    ((*WORDS, "--text-encoder", "mini:x"), "E_UNKNOWN_NAME", "mini is a single model"),
    ((*WORDS, "--templates", "phto"), "E_UNKNOWN_NAME", "phto"),
    ((*WORDS, "--templates", "missing.txt"), "E_TEMPLATES", "cannot be read"),
    ((*WORDS, "--device", "gpu"), "E_DEVICE", "there is no 'gpu'"),
    ((*WORDS, "--backend", "troch"), "E_UNKNOWN_NAME", "troch"),
    ((*WORDS, "--columns", "x,y"), "E_COLUMNS", "does not name x, y and z"),
    ((*WORDS, "--voxel", "0"), "E_BAD_VALUE", "is not a valid length"),
    ((*WORDS, "--voxel", "1e-9"), "E_BAD_VALUE", "is not a valid length"),
    ((*WORDS, "--tile", "nan"), "E_BAD_VALUE", "is not a valid length"),
    ((*WORDS, "--tile", "0.01"), "E_BAD_VALUE", "is not a valid length"),
    ((*WORDS, "--max-memory", "lots"), "E_BAD_VALUE", "is not a size"),
    ((*WORDS, "--max-memory", "9" * 400), "E_BAD_VALUE", "is not a size"),
    ((*WORDS, "--seed", "9" * 20), "E_USAGE", "--seed"),
    ((*WORDS, "--unknown-threshold", "2"), "E_USAGE", "--unknown-threshold"),
    ((*WORDS, "--top-k", "0"), "E_USAGE", "--top-k"),
    ((*WORDS, "--clases", "a"), "E_USAGE", "--clases"),
    ((*WORDS, "-o", "scan.ply"), "E_SAME_FILE", "an input"),
    ((*WORDS, "-o", "taken.ply"), "E_EXISTS", "exists already"),
    ((*WORDS, "-o", "scan.doc"), "E_UNSUPPORTED", ".doc"),
    ((*WORDS, "-o", "n" * 250 + ".ply"), "E_BAD_VALUE", "too long a file name"),
    ((*WORDS, "-o", "a.ply", "-O", "b"), "E_USAGE", "cannot both be given"),
    ((*WORDS, "copy.ply", "-o", "a.ply"), "E_USAGE", "2 inputs"),
    ((*WORDS, "sub/scan.ply", "-O", "b"), "E_SAME_FILE", "would be the result of both"),
]


@pytest.mark.parametrize(("arguments", "code", "fault"), USAGE)
def test_wrong_usage_is_refused_before_a_model_is_loaded(
    clip3d: CommandLine,
    scan: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: str,
    fault: str,
) -> None:
    def load(*_: object) -> NoReturn:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("clip3d_cli.labelling.open_encoder.read_weights", load)
    (scan.parent / "sub").mkdir()
    for name in ("copy.ply", "taken.ply", "sub/scan.ply"):
        (scan.parent / name).write_bytes(scan.read_bytes())
    before = sorted(scan.parent.rglob("*"))
    said = clip3d("label", scan, *arguments)
    assert (said.code, said.out) == (2, "")
    first, second = said.err.splitlines()
    assert first.startswith(f"error[{code}]: ")
    assert fault in first
    assert second.startswith("hint: ")
    assert sorted(scan.parent.rglob("*")) == before


def test_a_link_to_an_input_is_not_written_over(clip3d: CommandLine, scan: Path) -> None:
    link = scan.with_name("link.ply")
    link.symlink_to(scan)
    said = clip3d("label", scan, *WORDS, "-o", link, "--overwrite")
    assert said.code == 2
    assert "E_SAME_FILE" in said.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--weights", "no-such-weights"), "E_WEIGHTS"),
        (("--weights", "gone/model.safetensors"), "E_WEIGHTS"),
        (("--weights", "model.pth"), "E_PICKLE"),
        (("--weights", "other-space"), "E_SPACE_MISMATCH"),
        (("--device", "cuda:99"), "E_DEVICE"),
    ],
)
def test_what_the_machine_lacks_is_exit_4(
    clip3d: CommandLine, scan: Path, arguments: tuple[str, ...], code: str
) -> None:
    said = clip3d("label", scan, *WORDS, *arguments)
    assert said.code == 4
    assert f"error[{code}]: " in said.err
    assert [path.name for path in scan.parent.iterdir()] == ["scan.ply"]


@pytest.mark.parametrize("folder", ["scan.ply", "scan.ply/below", "closed/below"])
def test_a_folder_that_cannot_be_made_is_refused_before(
    clip3d: CommandLine, scan: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "closed")
    (scan.parent / "closed").mkdir()
    said = clip3d("label", scan, *WORDS, "-O", folder, "--dry-run")
    assert said.code == 1
    assert said.err.startswith("error[E_NOT_WRITABLE]: ")


@pytest.mark.parametrize(
    ("fault", "code", "exit_code"),
    [
        (MemoryError(), "E_MEMORY", 1),
        (OSError(errno.ENOSPC, "no space", "out.ply"), "E_NO_SPACE", 1),
        (OSError(errno.ENOSPC, "no space"), "E_NO_SPACE", 1),
        (PermissionError(errno.EACCES, "no", "scan.ply"), "E_PERMISSION", 1),
        (OSError(errno.EIO, "input/output error", "scan.ply"), "E_SYSTEM", 4),
        (OSError(errno.EIO, "input/output error"), "E_SYSTEM", 4),
        (ModuleNotFoundError("no laspy", name="laspy"), "E_SYSTEM", 4),
        (InputError("E_PARSE", "scan.ply", "line 3"), "E_PARSE", 1),
        (RuntimeError("CUDA error: no kernel\nmore"), "E_DEVICE", 4),
        (KeyError("odd"), "E_BUG", 1),
    ],
)
def test_every_fault_is_two_lines_and_a_code(
    clip3d: CommandLine,
    scan: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    code: str,
    exit_code: int,
) -> None:
    def read(*_: object) -> NoReturn:
        raise fault

    monkeypatch.setattr("clip3d_cli.formats.cloud_file.CloudFile.read", read)
    said = clip3d("label", scan, *WORDS, "--json")
    assert said.code == exit_code
    assert f"error[{code}]: " in said.err
    assert "Traceback" not in said.err
    assert said.document["results"][0]["error"]["code"] == code


def test_a_cloud_that_cannot_be_labelled_is_named(clip3d: CommandLine, scan: Path) -> None:
    far = scan.with_name("far.ply")
    write_scan(far, np.array([[0, 0, 0], [1e30, 0, 0]], np.float32))
    said = clip3d("label", scan, far, *WORDS)
    assert said.code == 3
    assert f"error[E_VOXEL_RANGE]: {far}: " in said.err


def test_debugging_shows_the_traceback(
    clip3d: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIP3D_DEBUG", "1")
    said = clip3d("label", "missing.ply", *WORDS)
    assert "Traceback" in said.err
    assert "error[E_NOT_FOUND]: missing.ply" in said.err


def test_an_interrupt_is_130(
    clip3d: CommandLine, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("clip3d_cli.formats.cloud_file.CloudFile.read", read)
    said = clip3d("label", scan, *WORDS)
    assert said.code == 130
    assert said.err.endswith("interrupted\n")
    assert [path.name for path in scan.parent.iterdir()] == ["scan.ply"]


def test_a_file_instead_of_a_command_gets_a_hint(clip3d: CommandLine) -> None:
    said = clip3d("scan.ply")
    assert said.code == 2
    assert "hint: That looks like a file. Try clip3d info scan.ply" in said.err


def test_a_misspelt_command_gets_the_nearest(clip3d: CommandLine) -> None:
    said = clip3d("labl")
    assert said.code == 2
    assert "Did you mean 'label'?" in said.err


def test_no_command_shows_the_help(clip3d: CommandLine) -> None:
    said = clip3d()
    assert said.code == 2
    assert "Usage: clip3d" in said.out


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently")
def test_a_reader_that_leaves_early_is_not_a_fault() -> None:
    command = f"'{sys.executable}' -c '{START}' vocabularies scannet200 | true"
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert said.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="streams are closed differently")
@pytest.mark.parametrize(
    ("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0), ("nope.ply 2>&-", 3)]
)
def test_closed_streams_are_no_fault(scan: Path, closed: str, code: int) -> None:
    command = f"'{sys.executable}' -c '{START}' info '{scan}' {closed}"
    said = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (code, "")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_not_text_is_spelled_out(clip3d: CommandLine) -> None:
    said = clip3d("label", os.fsdecode(b"sc\xff\nan.ply"), *WORDS, "--json")
    assert said.code == 1
    assert r"sc\udcff\nan.ply" in said.err
    assert said.document["results"][0]["input"] == os.fsdecode(b"sc\xff\nan.ply")
