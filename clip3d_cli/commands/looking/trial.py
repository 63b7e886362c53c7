"""A small made-up scan, labelled with the default weights as ``clip3d label`` would."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clip3d_cli.commands.engine import load_engine
from clip3d_cli.commands.engine_choice import (
    EngineChoice,
    chosen_templates,
)
from clip3d_cli.commands.labelling.asked import LabelRequest
from clip3d_cli.commands.labelling.plan import Job
from clip3d_cli.commands.labelling.run import label_file
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.formats.format import ReadOptions
from clip3d_cli.registry import DEFAULT_WEIGHTS, weights_path

_CLASSES = ("road", "car", "building")


def trial_run() -> str:
    """What came of labelling the scan, file to file, in one line.

    Raises:
        Clip3DError: it cannot be labelled on this machine.
    """
    with tempfile.TemporaryDirectory() as folder:
        job = Job(Path(folder) / "trial.ply", Path(folder) / "trial.clip3d.ply")
        write_scan(job.source, street())
        choice = EngineChoice(
            weights=weights_path(DEFAULT_WEIGHTS),
            text_encoder=None,
            templates=chosen_templates(None),
        )
        request = LabelRequest(choice, ReadOptions(), Voice(quiet=True))
        engine = load_engine(choice, Vocabulary.of_words(_CLASSES), request.voice)
        done = label_file(job, engine, request)
    found = ", ".join(f"{share.entry.name} {share.share:.0%}" for share in done.shares)
    load, work = (sum(steps.values()) for steps in (engine.seconds, done.seconds))
    return f"{done.points:,} points in {work:.1f} s after {load:.1f} s of loading: {found}"


def street() -> npt.NDArray[np.float32]:
    """(N, 3) float32, metres: a road, a box of a car's size on it, a wall beside it."""
    random = np.random.default_rng(0)
    road = random.uniform((-15, -8, 0), (15, 8, 0.02), (12_000, 3))
    car = random.uniform((-2, -1, 0.3), (2, 1, 1.5), (2_000, 3))
    wall = random.uniform((-15, 8, 0), (15, 8.2, 6), (6_000, 3))
    return np.concatenate([road, car, wall]).astype("<f4")


def write_scan(path: Path, xyz: npt.NDArray[np.float32]) -> None:
    """Write (N, 3) float32 points as a binary PLY file."""
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(xyz)}"]
    lines = [*head, *(f"property float {axis}" for axis in "xyz"), "end_header", ""]
    path.write_bytes("\n".join(lines).encode() + xyz.astype("<f4").tobytes())
