"""Make the point weights from nothing: simulate scans, train, cool down, export.

python -m weights.recipe.points --data ../shared/data -o runs/points

Stop it with Ctrl-C whenever needed; the same command goes on where it was. All seeds are fixed, so
the pieces do not change the result. The weights are OUT/points.safetensors.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

# Scans of each kind and the seed of the first; files that are there are not simulated again.
SCANS = {"indoor": 1600, "driving": 1100, "mobile": 550, "aerial": 350}
FIRST_SEED = 1_000_000
# The network: 12.4 million parameters, most of them at the coarse levels, which cost little time.
NETWORK = ("--channels", "24,48,96,160,224,160,96,64,64", "--blocks", "1,1,2,2,1,1,1,1")
SAMPLES = ("--scans-per-batch", "4", "--rare-share", "0.4", "--steps-per-epoch", "150")
CROPS = ("--voxels-per-scan", "10000", "--targets-per-scan", "5000")
OPTIMIZER = ("--optimizer", "muon", "--seed", "13")
_RATE = "0.006"


def main() -> None:
    """Make what is not made yet."""
    args = _arguments()
    for kind, count in SCANS.items():
        options = ["--kind", kind, "--count", str(count), "--seed", str(FIRST_SEED)]
        options += ["--data", str(args.data), "--jobs", str(args.jobs)]
        _run("weights.recipe.simulate", *options, "-o", str(args.out / "sim" / kind))
    common = ["--data", str(args.data), "--simulated", str(args.out / "sim"), *NETWORK]
    common += [*SAMPLES, *CROPS, *OPTIMIZER, "--threads", str(args.threads)]
    constant = ["--schedule", "constant", "--learning-rate", _RATE, "--average-decay", "0.9995"]
    _train(args.out / "constant", args.steps, [*common, *constant])
    checkpoint = max((args.out / "constant" / "checkpoints").glob("step-*.safetensors"))
    cooldown = ["--schedule", "linear", "--learning-rate", _RATE, "--average-decay", "0.99"]
    cooldown += ["--warmup", "0", "--continue-from", str(checkpoint)]
    _train(args.out / "cooldown", args.cooldown_steps, [*common, *cooldown])
    shutil.copyfile(args.out / "cooldown" / "points.safetensors", args.out / "points.safetensors")


def _train(folder: Path, steps: int, options: list[str]) -> None:
    """Train to the last step, or end the program if the training was stopped before it."""
    metrics = folder / "metrics.jsonl"
    if _steps_done(metrics) < steps:
        resume = ["--resume"] if (folder / "config.toml").exists() else []
        options = ["-o", str(folder), "--steps", str(steps), *options, *resume]
        _run("weights.recipe.points.train", *options)
    if _steps_done(metrics) < steps:
        sys.exit(f"{folder}: stopped at step {_steps_done(metrics)} of {steps}")


def _steps_done(metrics: Path) -> int:
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines else 0


def _run(module: str, *options: str) -> None:
    try:
        subprocess.run([sys.executable, "-m", module, *options], check=True)
    except KeyboardInterrupt:
        # The child had the signal too; a training saves its state before it ends.
        sys.exit("stopped; the same command goes on")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the folder ../shared/data")
    add("-o", "--out", type=Path, required=True, help="folder of scans, runs and weights")
    add("--steps", type=int, default=20_000, help="steps at a constant rate (default: 20000)")
    add("--cooldown-steps", type=int, default=2000, help="steps of falling rate (default: 2000)")
    add("--jobs", type=int, default=2, help="processes that simulate (default: 2)")
    add("--threads", type=int, default=2, help="threads of PyTorch (default: 2)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
