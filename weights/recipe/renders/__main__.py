"""Write simulated street scenes with images, in the layout of ``--dataset folder``.

python -m weights.recipe.renders --split train=60 --split val=20 --seed 1000 -o scenes
"""

import argparse
from multiprocessing import get_context
from pathlib import Path

from weights.recipe.renders.classes import vocabulary_text
from weights.recipe.renders.scenes import SceneJob, write_scene


def main() -> None:
    """Parse the command line, write the scenes, then the vocabulary and the splits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--count", type=int, help="number of scenes (default: as many as all splits have)"
    )
    parser.add_argument(
        "--split",
        type=_split,
        action="append",
        default=[],
        metavar="NAME=COUNT",
        help="list the next COUNT scenes in splits/NAME.txt; can be repeated",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene (default: 0)")
    parser.add_argument(
        "--data", type=Path, help="folder with meshes/*.tar.xz; without it, all is generated"
    )
    parser.add_argument("--pixels", action="store_true", help="also write the class of every pixel")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes (default: 1)")
    parser.add_argument("-o", "--folder", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    count = args.count or sum(size for _, size in args.split) or 1
    seeds = range(args.seed, args.seed + count)
    jobs = [SceneJob(seed, args.folder, args.data, args.pixels) for seed in seeds]
    with get_context("spawn").Pool(args.jobs) as pool:
        for line in pool.imap_unordered(write_scene, jobs):
            print(line, flush=True)
    (args.folder / "vocabulary.toml").write_text(vocabulary_text(), encoding="utf-8")
    write_splits(args.folder, [job.name for job in jobs], args.split)


def write_splits(root: Path, names: list[str], splits: list[tuple[str, int]]) -> None:
    """Write ``splits/*.txt``; each split takes as many names as its size, in turn.

    Args:
        root: folder of the data set.
        names: names of all scenes.
        splits: name and size of each split.
    """
    start = 0
    for split, size in splits:
        (root / "splits").mkdir(exist_ok=True)
        lines = "\n".join(names[start : start + size]) + "\n"
        (root / "splits" / f"{split}.txt").write_text(lines, encoding="utf-8")
        start += size


def _split(text: str) -> tuple[str, int]:
    name, _, size = text.partition("=")
    return name, int(size)


if __name__ == "__main__":
    main()
