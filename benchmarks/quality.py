"""What ``--quality best`` gains over ``fast``, and what it costs.

    python -m benchmarks.quality FOLDER [--weights NAME]

FOLDER holds scans with ground truth: see `benchmarks.judged_scans`. All classes of a scan are asked
for together. Scores are the mean IoU in percent; times are those of labelling alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Literal

import numpy as np

import clip3d_cli as clip3d
from benchmarks.judged_scans import read_judged_scans

_QUALITIES: tuple[Literal["fast", "best"], ...] = ("fast", "best")


def main() -> None:
    """Print the scores and times of every scan, and their means."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="points-default")
    args = parser.parse_args()
    labeller = clip3d.Labeller.open(args.weights, device="cpu")
    gains, factors = [], []
    for scan in read_judged_scans(args.folder):
        scores, seconds = {}, {}
        for quality in _QUALITIES:
            began = time.perf_counter()
            labels = labeller.label(
                scan.cloud, list(scan.classes), background="none", quality=quality
            )
            seconds[quality] = time.perf_counter() - began
            scores[quality] = scan.mean_iou(labels.class_index)
        gains.append(scores["best"] - scores["fast"])
        factors.append(seconds["best"] / seconds["fast"])
        print(
            f"{scan.name:18} {scores['fast']:5.1f} -> {scores['best']:5.1f}   "
            f"{seconds['fast']:5.2f} s -> {seconds['best']:5.2f} s",
            flush=True,
        )
    better, worse = (sum(sign * gain > 0.05 for gain in gains) for sign in (1, -1))
    print(
        f"gain {np.mean(gains):+.2f} on average, {min(gains):+.1f} to {max(gains):+.1f}; better on "
        f"{better} scans, worse on {worse}; {np.median(factors):.1f} times as long"
    )


if __name__ == "__main__":
    main()
