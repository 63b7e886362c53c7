"""Measure what pretraining is worth when few scans have labels, as a table of mIoU.

    python -m benchmarks.few_labels --root proof/scenes --pretrained proof/run/points.safetensors \\
        --split spare -o proof/few
    python -m benchmarks.pandaset_tiles --data ../shared/data/driving/pandaset_001 -o proof/pandaset
    python -m benchmarks.few_labels --root proof/pandaset \\
        --pretrained proof/run/points.safetensors -o proof/few_pandaset

Compares training from scratch, fine-tuning of pretrained weights, and a linear probe of them, on 1
to 100 % of the training scenes. Every cell of the table is several runs of ``clip3d finetune`` with
different seeds, each in a process of its own with one thread, evaluated like ``clip3d eval``. The
settings are in ``few_labels.toml``.

The whole table is 45 runs of a few minutes each: hours on two cores. Finished runs are not
repeated, and interrupted ones continue.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_HEADS = ("closed", "text")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of ``clip3d finetune``.

    Attributes:
        fraction: share of the training scenes.
        start: "scratch", "pretrained" or "probe" (a linear probe of the pretrained weights).
        seed: random seed.
    """

    fraction: float
    start: str
    seed: int

    def folder(self, out: Path) -> Path:
        return out / f"{self.start}.{self.fraction:g}.{self.seed}.run"


def main() -> None:
    args = _arguments()
    seeds = range(args.seeds)
    runs = [
        Run(fraction, start, seed)
        for seed, fraction, start in itertools.product(seeds, args.fractions, _TABLE["starts"])
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda run: _finetune(run, args), runs))
    for head in _HEADS:
        print(f"\n{head} head, mIoU % on {args.split}, mean ± deviation of {args.seeds} seeds\n")
        print(_table(args, runs, head))


def _finetune(run: Run, args: argparse.Namespace) -> None:
    folder = run.folder(args.out)
    if _miou(folder, args.split, "closed") is not None:
        return
    start = "scratch" if run.start == "scratch" else str(args.pretrained)
    command = [sys.executable, "-m", "clip3d_cli", "finetune", "--dataset", "folder", "--quiet"]
    command += ["--root", str(args.root), "--from", start, "--fraction", f"{run.fraction:g}"]
    command += ["--split", "train", "-o", str(folder)]
    command += ["--linear-probe"] if run.start == "probe" else []
    settings = [*_TABLE["settings"], *_TABLE["starts"][run.start], *args.settings]
    for setting in (*settings, f"data.eval_split={args.split}", f"run.seed={run.seed}"):
        command += ["--set", setting]
    if (folder / "config.toml").is_file():
        command = [*command[:4], "--quiet", "--resume", "-o", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, check=False)
    result = "failed" if done.returncode else _miou(folder, args.split, "closed")
    print(run.start, run.fraction, run.seed, result, flush=True)


def _miou(folder: Path, split: str, head: str) -> float | None:
    """Return the mIoU of a finished run, or None."""
    path = folder / f"eval.{split}.{head}.json"
    if not path.is_file():
        return None
    return float(json.loads(path.read_text(encoding="utf-8"))["scores"]["miou"])


def _table(args: argparse.Namespace, runs: list[Run], head: str) -> str:
    fractions = sorted({run.fraction for run in runs})
    lines = ["| start | " + " | ".join(f"{100 * share:g} %" for share in fractions) + " |"]
    lines.append("|---" * (1 + len(fractions)) + "|")
    for start in _TABLE["starts"]:
        cells = []
        for share in fractions:
            of_cell = [run for run in runs if (run.start, run.fraction) == (start, share)]
            scores = [_miou(run.folder(args.out), args.split, head) for run in of_cell]
            percent = [100 * value for value in scores if value is not None]
            cells.append(f"{np.mean(percent):.1f} ± {np.std(percent):.1f}" if percent else "–")
        lines.append(f"| {start} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, required=True, help="data set of --dataset folder")
    parser.add_argument("--pretrained", type=Path, required=True, help="pretrained weights")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs="+",
        default=[0.01, 0.05, 0.1, 0.25, 1.0],
        help="shares of the training scenes",
    )
    parser.add_argument("--split", default="val", help="split to evaluate on (default: val)")
    parser.add_argument("--seeds", type=int, default=3, help="runs per cell (default: 3)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time (default: 2)")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a further setting of every run; can be repeated",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
