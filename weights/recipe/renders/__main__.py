"""Write simulated street scenes with images, as a data set of the layout ``folder``.

python -m weights.recipe.renders --count 80 --val 20 --seed 0 -o DIR
"""

import argparse
from multiprocessing import get_context
from pathlib import Path

from weights.recipe.renders.classes import vocabulary_text
from weights.recipe.renders.scene import Job, write_scene


def main() -> None:
    """Parse the command line, write the scenes, then the vocabulary and the splits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, help="scenes; by default all that splits ask for")
    parser.add_argument(
        "--split",
        type=_split,
        action="append",
        default=[],
        metavar="NAME=COUNT",
        help="list the next COUNT scenes in splits/NAME.txt; again for more",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--data", type=Path, help="folder with meshes/*.tar.xz; none: shapes only")
    parser.add_argument(
        "--pixels", action="store_true", help="also write what every pixel shows, for judging"
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--folder", type=Path, required=True)
    wanted = parser.parse_args()
    wanted.folder.mkdir(parents=True, exist_ok=True)
    count = wanted.count or sum(size for _, size in wanted.split) or 1
    seeds = range(wanted.seed, wanted.seed + count)
    jobs = [Job(seed, wanted.folder, wanted.data, wanted.pixels) for seed in seeds]
    with get_context("spawn").Pool(wanted.jobs) as pool:
        for line in pool.imap_unordered(write_scene, jobs):
            print(line, flush=True)
    (wanted.folder / "vocabulary.toml").write_text(vocabulary_text(), encoding="utf-8")
    write_splits(wanted.folder, [job.name for job in jobs], wanted.split)


def write_splits(root: Path, names: list[str], splits: list[tuple[str, int]]) -> None:
    """Write ``splits/*.txt``: each split takes as many names as it asks for, in turn."""
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
