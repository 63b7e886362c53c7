"""Curves of few labels: a random and a pretrained start, trained on a share of the key frames.

    python -m benchmarks.few_labels --root proof/scenes --pretrained proof/run/points.safetensors \\
        --judged spare -o proof/few
    python -m benchmarks.pandaset_tiles --data ../shared/data/driving -o proof/pandaset
    python -m benchmarks.few_labels --root proof/pandaset \\
        --pretrained proof/run/points.safetensors -o proof/few_pandaset

Every cell of the table is several runs of ``clip3d finetune``, each in a process of its own with
one thread, judged by the path of ``clip3d eval``. What is done already is not done again.
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
class Cell:
    """One run: from scratch, from pretrained weights, or a linear probe of these."""

    fraction: float
    start: str
    seed: int

    def folder(self, out: Path) -> Path:
        return out / f"{self.start}.{self.fraction:g}.{self.seed}.run"


def main() -> None:
    args = _arguments()
    seeds = range(args.seeds)
    cells = [
        Cell(fraction, start, seed)
        for seed, fraction, start in itertools.product(seeds, args.fractions, _TABLE["starts"])
    ]
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda cell: _run(cell, args), cells))
    for head in _HEADS:
        print(f"\n{head} head, mIoU % on {args.judged}, mean ± deviation of {args.seeds} seeds\n")
        print(_table(args, cells, head))


def _run(cell: Cell, args: argparse.Namespace) -> None:
    folder = cell.folder(args.out)
    if _miou(folder, args.judged, "closed") is not None:
        return
    start = "scratch" if cell.start == "scratch" else str(args.pretrained)
    command = [sys.executable, "-m", "clip3d_cli", "finetune", "--dataset", "folder", "--quiet"]
    command += ["--root", str(args.root), "--from", start, "--fraction", f"{cell.fraction:g}"]
    command += ["--split", "train", "-o", str(folder)]
    command += ["--linear-probe"] if cell.start == "probe" else []
    told = [*_TABLE["settings"], *_TABLE["starts"][cell.start], *args.settings]
    for setting in (*told, f"data.judged={args.judged}", f"run.seed={cell.seed}"):
        command += ["--set", setting]
    if (folder / "config.toml").is_file():
        command = [*command[:4], "--quiet", "--resume", "-o", str(folder)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=quiet, check=False)
    ended = "failed" if done.returncode else _miou(folder, args.judged, "closed")
    print(cell.start, cell.fraction, cell.seed, ended, flush=True)


def _miou(folder: Path, split: str, head: str) -> float | None:
    path = folder / f"eval.{split}.{head}.json"
    if not path.is_file():
        return None
    return float(json.loads(path.read_text(encoding="utf-8"))["scores"]["miou"])


def _table(args: argparse.Namespace, cells: list[Cell], head: str) -> str:
    fractions = sorted({cell.fraction for cell in cells})
    lines = ["| start | " + " | ".join(f"{100 * share:g} %" for share in fractions) + " |"]
    lines.append("|---" * (1 + len(fractions)) + "|")
    for start in _TABLE["starts"]:
        texts = []
        for share in fractions:
            mine = [c for c in cells if (c.start, c.fraction) == (start, share)]
            found = [_miou(cell.folder(args.out), args.judged, head) for cell in mine]
            known = [100 * value for value in found if value is not None]
            texts.append(f"{np.mean(known):.1f} ± {np.std(known):.1f}" if known else "–")
        lines.append(f"| {start} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="of --dataset folder")
    parser.add_argument("--pretrained", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.05, 0.1, 0.25, 1.0])
    parser.add_argument("--judged", default="val", help="the split to judge on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    main()
