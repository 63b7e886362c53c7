"""A command opens each of its files once: it recognises the format and parses the header once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from command_line import CommandLine
from sample_clouds import write_las, write_ply

WORDS = ("--classes", "car,tire,plastic bag")
# What opening a file of a format takes, by the functions that do it.
STEPS = {
    ".laz": (
        "read_head",
        "read_las_header",
        "read_laz_chunks",
        "chunk_table",
        "extra_fields",
        "crs_of",
    ),
    ".ply": ("read_head", "read_ply_header"),
}


@contextmanager
def counted_calls(path: Path) -> Iterator[Counter[str]]:
    """Counts the calls of functions in clip3d_cli.formats that get this path as ``path``.

    Leading underscores are left out. ``compared`` counts the comparisons with the state of the
    file when it was opened, which also call ``require_file``.
    """
    counts: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or "/clip3d_cli/formats/" not in code.co_filename:
            return
        given = frame.f_locals.get("path")
        if given is None or Path(str(given)).name != path.name:
            return
        caller = frame.f_back.f_code.co_name if frame.f_back else ""
        is_comparison = code.co_name == "require_file" and caller == "require_unchanged"
        counts["compared" if is_comparison else code.co_name.strip("_")] += 1

    sys.setprofile(count)
    try:
        yield counts
    finally:
        sys.setprofile(None)


def write_scan(folder: Path, suffix: str) -> Path:
    writers: dict[str, Callable[[Path, int], Path]] = {".laz": write_las, ".ply": write_ply}
    return writers[suffix](folder / f"scan{suffix}", 500)


@pytest.mark.parametrize("suffix", STEPS)
def test_label_opens_its_input_once(clip3d: CommandLine, tmp_path: Path, suffix: str) -> None:
    scan = write_scan(tmp_path, suffix)
    with counted_calls(scan) as counts:
        said = clip3d("label", scan, *WORDS)
    assert said.code == 0, said.err
    assert {step: counts[step] for step in STEPS[suffix]} == dict.fromkeys(STEPS[suffix], 1)
    assert counts["require_file"] == 1
    # Before and after the points are read, before and after the copy is written.
    assert counts["compared"] == 4


@pytest.mark.parametrize("suffix", STEPS)
def test_the_copy_is_opened_once_to_check_it(
    clip3d: CommandLine, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_scan(tmp_path, suffix)
    part = tmp_path / "copy.part"
    monkeypatch.setattr(
        "clip3d_cli.formats.atomic.part_path",
        lambda target: part if target.suffix == suffix else target.with_suffix(".part"),
    )
    with counted_calls(part) as counts:
        said = clip3d("label", scan, *WORDS)
    assert said.code == 0, said.err
    steps = STEPS[suffix][1:]  # its format is known
    assert {step: counts[step] for step in steps} == dict.fromkeys(steps, 1)
    assert counts["read_head"] == 0


@pytest.mark.parametrize(
    "command", [("info",), ("label", *WORDS, "--dry-run")], ids=["info", "dry"]
)
@pytest.mark.parametrize("suffix", STEPS)
def test_looking_at_a_file_opens_it_once(
    clip3d: CommandLine, tmp_path: Path, suffix: str, command: tuple[str, ...]
) -> None:
    scan = write_scan(tmp_path, suffix)
    with counted_calls(scan) as counts:
        said = clip3d(command[0], scan, *command[1:])
    assert said.code == 0, said.err
    assert "500" in said.out
    assert {step: counts[step] for step in STEPS[suffix]} == dict.fromkeys(STEPS[suffix], 1)
    assert counts["compared"] == 2
