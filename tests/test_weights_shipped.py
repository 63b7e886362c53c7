"""The shipped weights, on scans that were kept out of training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData

from clip3d_cli.labelling.labeller import Labeller
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.weights_files import shipped_weights
from weights.recipe.points.evaluate import SUITES, evaluate, open_labeller

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def labeller() -> Labeller:
    return open_labeller(shipped_weights("points-default"))


def test_words_and_points_share_a_space(labeller: Labeller) -> None:
    assert MiniTextEncoder().space == labeller.spec.space
    assert labeller.spec.text_encoder == "mini"


def test_weights_are_as_small_as_promised() -> None:
    assert shipped_weights("points-default").stat().st_size < 30e6
    assert shipped_weights("mini-text-b32").stat().st_size < 15e6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suite", "least"), [("ika val", 0.30), ("IGN 0382_6565", 0.50), ("laspy 2445180", 0.50)]
)
def test_scores_on_scans_kept_out_of_training(
    labeller: Labeller, shared_data: Path, suite: str, least: float
) -> None:
    assert not SUITES[suite].in_training
    result = evaluate(labeller, SUITES[suite], shared_data)
    assert result["mIoU"] >= least, result


@pytest.mark.slow
def test_the_readme_scan_is_labelled_sensibly(tmp_path: Path) -> None:
    """In a process of its own, with the shipped weights and without network."""
    target = tmp_path / "street.ply"
    command = "from clip3d_cli.cli.app import main; main()"
    arguments = ["label", "examples/street.ply", "--classes", "road,building,tree,car", "--json"]
    environment = {k: v for k, v in os.environ.items() if k != "CLIP3D_WEIGHTS"}
    run = subprocess.run(
        [sys.executable, "-c", command, *arguments, "-o", str(target)],
        cwd=ROOT,
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        check=True,
        timeout=300,
    )
    document = json.loads(run.stdout)
    assert document["results"][0]["points"] == 61_946
    vertex = PlyData.read(target)["vertex"]
    z, label = np.asarray(vertex["z"]), np.asarray(vertex["scalar_label"])
    share = np.bincount(label, minlength=5) / len(label)
    assert share[1] > 0.3, "most of a street scan is ground"
    assert (share[2:] > 0.02).all()
    assert np.median(z[label == 2]) > np.median(z[label == 1]) + 1, "buildings rise above roads"
    picture = tmp_path / "street.png"
    subprocess.run(
        [sys.executable, "examples/top_view.py", str(target), str(picture)], cwd=ROOT, check=True
    )
    sidecar = json.loads(target.with_suffix(".classes.json").read_text())
    colors = {tuple(row["color"]) for row in sidecar["classes"]}
    with Image.open(picture) as image:
        drawn = {color for _, color in image.getcolors(1 << 20) or ()}
    assert colors <= drawn, "every class is drawn in its color"
