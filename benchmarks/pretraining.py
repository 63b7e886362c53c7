"""The ablation of CLIP2Scene on simulated scenes with images, as a table.

    python -m weights.recipe.renders --split train=60 --split val=20 --seed 1000 -o proof/scenes
    python -m weights.recipe.renders --count 150 --seed 50000 --pixels -o proof/lessons
    python -m weights.recipe.renders.train --scenes proof/lessons -o proof/teacher
    python -m benchmarks.pretraining --scenes proof/scenes --teacher proof/teacher -o proof/ablation

Every row is trained with several seeds, each in a process of its own with one thread, and judged on
the split ``val`` by the labelling that ``clip3d label`` calls. What is done already is not done
again.
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
        args.out.write_text(json.dumps(_one(args)))
        return
    rows = [name for name in _TABLE["further" if args.further else "rows"] if args.only in name]
    jobs = [(name, seed) for seed in range(args.seeds) for name in rows]
    args.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(lambda job: _run(args, *job), jobs))
    print(_report(args.out, rows, args.seeds))


def _run(args: argparse.Namespace, name: str, seed: int) -> None:
    path = _result(args.out, name, seed)
    if path.is_file():
        return
    command = [sys.executable, "-m", "benchmarks.pretraining", "--one", name, "--seeds", str(seed)]
    command += ["--scenes", args.scenes, "--teacher", args.teacher, "-o", path]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=quiet, check=False)
    print(name, seed, "failed" if done.returncode else path.read_text()[:100], flush=True)


def _one(args: argparse.Namespace) -> dict[str, object]:
    """Train one row with one seed, and judge it; in a process of its own."""
    from clip3d_cli.pipelines.pretrain.config import PretrainConfig
    from clip3d_cli.pipelines.pretrain.run import pretrain
    from clip3d_cli.pipelines.training.config_files import with_settings

    rows = {**_TABLE["rows"], **_TABLE["further"]}
    settings = [*_TABLE["base"]["settings"], *rows[args.one], f"run.seed={args.seeds}"]
    places = {"data.root": args.scenes, "teacher.model": args.teacher}
    places["teacher.features"] = args.out.parent / "features"
    settings += [f"{key}={str(path)!r}" for key, path in places.items()]
    config = with_settings(PretrainConfig(), settings)
    judged = pretrain(config, args.out.with_suffix(".run"), resume=False).judged
    if judged is None:
        raise SystemExit("the scenes have no truth")
    return {
        "mean_iou": judged.evaluation.scores().mean_iou,
        "counts": judged.evaluation.confusion.counts.tolist(),
        "classes": [entry.name for entry in judged.evaluation.vocabulary.classes],
    }


def _report(folder: Path, rows: list[str], seeds: int) -> str:
    lines = ["| row | mIoU % (mean ± deviation) | seeds |", "|---|---|---|"]
    for name in rows:
        paths = [_result(folder, name, seed) for seed in range(seeds)]
        iou = [100 * json.loads(p.read_text())["mean_iou"] for p in paths if p.is_file()]
        if iou:
            lines.append(f"| {name} | {np.mean(iou):.1f} ± {np.std(iou):.1f} | {len(iou)} |")
    return "\n".join(lines)


def _result(folder: Path, name: str, seed: int) -> Path:
    plain = "".join(sign if sign.isalnum() else "-" for sign in name)
    return folder / f"{plain}.{seed}.json"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="how many; with --one, which")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="rows whose names hold this")
    parser.add_argument("--further", action="store_true", help="the rows of [further] instead")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
