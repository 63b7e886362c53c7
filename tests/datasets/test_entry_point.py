"""Another package brings a data set through one entry point: no file of clip3d names it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULE = '''
"""Scans of a campus: NNN.bin of float32 x, y, z, intensity, and NNN.npy of class ids."""

from functools import partial
from pathlib import Path

import numpy as np

from clip3d_cli.core.scenes import PosedScene, Sweep
from clip3d_cli.core.vocabulary import load_vocabulary
from clip3d_cli.datasets.labels import class_index_of_ids
from clip3d_cli.datasets.point_files import read_label_array, read_scan, scan_length
from clip3d_cli.datasets.splits import LazyScenes, split_numbers
from clip3d_cli.datasets.submission import FolderSubmission, write_synced
from clip3d_cli.metrics.rules import BenchmarkRules

COLUMNS = ("x", "y", "z", "intensity")


class CampusSubmission(FolderSubmission):
    def _write(self, folder, scene, class_ids):
        write_synced(folder / f"{scene.name}.label", class_ids.astype("u1").tobytes())


class Campus:
    name = "campus"
    thing_classes = frozenset()
    ego_half_size_m = 0.0
    rules = BenchmarkRules("campus-tools (1.0)", unused_class_iou=0.0)
    submission = CampusSubmission

    def __init__(self, root):
        self.root = Path(root)
        self.vocabulary = load_vocabulary("campus3")

    def splits(self):
        return tuple(split_numbers(self.name))

    def scenes(self, split):
        names = [f"{number:03d}" for number in split_numbers(self.name)[split]]
        return LazyScenes(len(names), partial(self._scene, names))

    def cloud(self, sweep):
        return read_scan(sweep.path, COLUMNS, 1.0)

    def ground_truth(self, scene):
        points = scan_length(scene.sweeps[0].path, COLUMNS)
        ids = read_label_array(scene.ground_truth, points)
        return class_index_of_ids(scene.ground_truth, ids, self.vocabulary, ignored=(0,))

    def instances(self, scene):
        return None

    def _scene(self, names, number):
        path = self.root / f"{names[number]}.bin"
        sweep = Sweep(path, np.eye(4))
        return PosedScene(names[number], (sweep,), (), path.with_suffix(".npy"))
'''
FILES = {
    "campus_data/__init__.py": "",
    "campus_data/dataset.py": MODULE,
    "campus_data/splits.toml": '[split]\ntrain = "1-2"\nval = "3"\n',
    "campus_data/finetune.toml": 'like = "folder"\n\n[optimizer]\nsteps = 7\n',
    "campus_data/vocabularies/campus3.toml": (
        'title = "Campus: three classes"\n'
        'class = [{ name = "lawn", id = 4, words = ["grass"] }, { name = "path", id = 2 }, '
        '{ name = "tree", id = 9 }]\n'
    ),
    "campus_data-1.0.dist-info/METADATA": (
        "Metadata-Version: 2.1\nName: campus-data\nVersion: 1.0\n"
    ),
    "campus_data-1.0.dist-info/entry_points.txt": (
        "[clip3d.datasets]\ncampus = campus_data.dataset:Campus\n"
    ),
}
# One process for several command lines: importing takes most of the time.
RUN = """
import contextlib, io, json, sys
from clip3d_cli.cli.app import main
results = []
for arguments in json.load(sys.stdin):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code or 0
    results.append([code, out.getvalue(), err.getvalue()])
json.dump(results, sys.stdout)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages with one that brings a data set."""
    for name, text in FILES.items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "site"


@pytest.fixture
def campus(tmp_path: Path) -> Path:
    """Three scans of 300 points on a lawn."""
    rng = np.random.default_rng(4)
    (tmp_path / "campus").mkdir()
    for number in (1, 2, 3):
        rows = rng.uniform(0, 5, (300, 4)).astype("<f4") * [1, 1, 0.02, 0.2]
        rows.astype("<f4").tofile(tmp_path / "campus" / f"{number:03d}.bin")
        np.save(tmp_path / "campus" / f"{number:03d}.npy", np.resize([0, 4, 2, 9], 300))
    return tmp_path / "campus"


def run(site: Path, folder: Path, *commands: list[str]) -> list[tuple[int, str, str]]:
    finished = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(commands),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return [(code, out, err) for code, out, err in json.loads(finished.stdout)]


@pytest.mark.slow
def test_commands_accept_the_data_set_of_another_package(
    site: Path, campus: Path, tmp_path: Path
) -> None:
    where = ["--dataset", "campus", "--root", str(campus)]
    vocabularies, evaluation, finetune, unknown = run(
        site,
        tmp_path,
        ["vocabularies", "campus3", "--json"],
        [
            "eval",
            *where,
            "--metric",
            "official",
            "--submission",
            "sent",
            "--device",
            "cpu",
            "--json",
        ],
        ["finetune", *where, "--dry-run"],
        ["eval", "--dataset", "campos", "--root", str(campus)],
    )
    assert vocabularies[0] == 0, vocabularies[2]
    (entry,) = json.loads(vocabularies[1])["vocabularies"]
    assert [each["id"] for each in entry["classes"]] == [4, 2, 9]

    assert evaluation[0] == 0, evaluation[2]
    document = json.loads(evaluation[1])
    assert (document["split"], document["points"]) == ("val", 225)
    assert document["metric"]["name"].startswith("mIoU as campus-tools (1.0) computes it")
    ids = np.fromfile(tmp_path / "sent" / "003.label", "u1")
    assert len(ids) == 300 and set(ids.tolist()) <= {0, 4, 2, 9}

    assert finetune[0] == 0, finetune[2]
    assert "steps = 7" in finetune[1]
    assert "scenes = 2" in finetune[1]  # of the preset that its preset names
    assert unknown[0] == 2
    assert "Did you mean campus?" in unknown[2]
