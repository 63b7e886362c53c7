"""Scenes and settings of trainings that take a second, and commands in child processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from command_line import Said
from datasets_trees_folder import VOCABULARY, room, write_ply
from posed_camera import camera_entry, write_image, write_json
from tiny_clip import VIT, save_model, settings

ROOT = Path(__file__).resolve().parents[2]
SPACE = {"name": "openclip/ViT-B-32/openai", "dim": 512}
SCENES = {"barn": "train", "yard": "train", "hall": "val"}


def write_scenes(root: Path, images: bool = True) -> Path:
    """Write two training scenes and one for evaluation, each in front of one camera."""
    (root / "splits").mkdir(parents=True)
    (root / "vocabulary.toml").write_text(VOCABULARY, encoding="utf-8")
    for number, (scene, split) in enumerate(SCENES.items()):
        with (root / "splits" / f"{split}.txt").open("a", encoding="utf-8") as names:
            names.write(f"{scene}\n")
        write_ply(root / scene / "cloud.ply", room(600, seed=number))
        np.save(root / scene / "labels.npy", np.resize([0, 1, 3], 600))
        cameras = []
        if images:
            write_image(root / scene / "images" / "a.png")
            cameras = [camera_entry("images/a.png")]
        write_json(root / scene / "cameras.json", {"cameras": cameras})
    return root


def child(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "clip3d_cli", *(str(each) for each in arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=120)
    return Said(process.returncode, out, err)


def wait_for_a_step(folder: Path, process: subprocess.Popen[str]) -> None:
    metrics = folder / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.01)


def quick_settings(folder: Path) -> list[str]:
    """Return options of a training that takes a second: a random teacher and a tiny network.

    The teacher is written to a subfolder.
    """
    teacher = save_model(settings(VIT) | {"embed_dim": 512}, folder / "tiny")
    (teacher / "clip3d.json").write_text(json.dumps({"space": SPACE, "text_encoder": "mini"}))
    chosen = {
        "teacher.model": teacher,
        "words.vocabulary": "dataset",
        "encoder.layers": 14,
        "encoder.width": 0.25,
        "encoder.voxel_sizes_m": "[0.4]",
        "batch.scenes": 1,
        "optimizer.steps": 3,
        "run.workers": 0,
    }
    return [f"--set={key}={value}" for key, value in chosen.items()]
