"""Measure what each part of CLIP2Scene contributes: its ablation on simulated scenes with images.

    python -m weights.recipe.renders --split train=60 --split val=20 --seed 1000 -o proof/scenes
    python -m weights.recipe.renders --count 150 --seed 50000 --pixels -o proof/lessons
    python -m weights.recipe.renders.train --scenes proof/lessons -o proof/teacher
    python -m benchmarks.pretraining --scenes proof/scenes --teacher proof/teacher -o proof/ablation

Prints mIoU per row, as mean and deviation over seeds; the rows are those of the paper's Table 3 and
some more (``pretraining.toml``). Every row and seed is trained in a process of its own with one
thread, and evaluated on the split ``val`` with the labelling of ``clip3d label``.

The three commands before take about half an hour. A row takes about six minutes per seed, and all
rows with three seeds about two hours on two cores. Finished rows are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def main() -> None:
    args = _arguments()
    if args.one is not None:
        args.out.write_text(json.dumps(_train_row(args)))
        return
    rows = [name for name in _TABLE["further" if args.further else "rows"] if args.only in name]
    jobs = [(name, seed) for seed in range(args.seeds) for name in rows]
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda job: _run_in_process(args, *job), jobs))
    print(_report(args.out, rows, args.seeds))


def _run_in_process(args: argparse.Namespace, name: str, seed: int) -> None:
    """Train and evaluate one row with one seed, unless its result exists."""
    path = _result_path(args.out, name, seed)
    if path.is_file():
        return
    command = [sys.executable, "-m", "benchmarks.pretraining", "--one", name, "--seeds", str(seed)]
    command += ["--scenes", args.scenes, "--teacher", args.teacher, "-o", path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, check=False)
    print(name, seed, "failed" if done.returncode else path.read_text()[:100], flush=True)


def _train_row(args: argparse.Namespace) -> dict[str, object]:
    """Train and evaluate the row ``--one`` with the seed ``--seeds``, and return its scores."""
    from clip3d_cli.pipelines.pretrain.config import PretrainConfig
    from clip3d_cli.pipelines.pretrain.run import pretrain
    from clip3d_cli.pipelines.training.config_sources import with_settings

    rows = {**_TABLE["rows"], **_TABLE["further"]}
    settings = [*_TABLE["base"]["settings"], *rows[args.one], f"run.seed={args.seeds}"]
    paths = {"data.root": args.scenes, "teacher.model": args.teacher}
    paths["teacher.features"] = args.out.parent / "features"
    settings += [f"{key}={str(path)!r}" for key, path in paths.items()]
    config = with_settings(PretrainConfig(), settings)
    judged = pretrain(config, args.out.with_suffix(".run"), resume=False).evaluation
    if judged is None:
        raise SystemExit("the scenes have no ground truth")
    return {
        "mean_iou": judged.evaluation.scores().mean_iou,
        "counts": judged.evaluation.confusion.counts.tolist(),
        "classes": [entry.name for entry in judged.evaluation.vocabulary.classes],
    }


def _report(folder: Path, rows: list[str], seeds: int) -> str:
    lines = ["| row | mIoU % (mean ± deviation) | seeds |", "|---|---|---|"]
    for name in rows:
        paths = [_result_path(folder, name, seed) for seed in range(seeds)]
        iou = [100 * json.loads(p.read_text())["mean_iou"] for p in paths if p.is_file()]
        if iou:
            lines.append(f"| {name} | {np.mean(iou):.1f} ± {np.std(iou):.1f} | {len(iou)} |")
    return "\n".join(lines)


def _result_path(folder: Path, name: str, seed: int) -> Path:
    stem = "".join(character if character.isalnum() else "-" for character in name)
    return folder / f"{stem}.{seed}.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=Path, required=True, help="rendered scenes")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the teacher")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time (default: 2)")
    parser.add_argument("--only", default="", help="only rows whose names contain this text")
    parser.add_argument(
        "--further", action="store_true", help="the rows of [further] instead of [rows]"
    )
    # For the processes that main() starts: train this row with the seed that --seeds gives.
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
