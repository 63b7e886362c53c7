"""Train the mini text encoder: ``python -m weights.recipe.text.train --help``."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from clip3d_cli.text.bpe import TOKEN_COUNT, ClipTokenizer
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.text.templates import load_template_sets
from weights.recipe.text.features import plain
from weights.recipe.text.labels import Teacher, make_lessons, without_names
from weights.recipe.text.lexicon import make_lexicon
from weights.recipe.text.merges import open_clip_merges
from weights.recipe.text.minilm import MiniLM
from weights.recipe.text.phrases import holdout_mask, read_phrases
from weights.recipe.text.scores import heldout_scores, network_answers
from weights.recipe.text.store import save_student
from weights.recipe.text.student import Schedule, train_student
from weights.recipe.text.wishes import token_words
from weights.recipe.text.wordnet import Nouns

TOKEN_WIDTH = 128
# Other words than these right before the name change its meaning: "a plastic {}."
_MEANINGLESS = frozenset({"a", "an", "the", "my", "one", "of", "many", "some", "this", ""})
_MORE_WRAPPERS = (
    "{}.", "a {}.", "an {}.", "the {}.", "{} in a scene", "an {} in a scene", "a photo of {}.",
    "a photo of {}", "a photo of a {}", "a photo of an {}", "a photo of an {}.",
    "a photo of the {}", "an image of a {}", "an image of {}", "this is a {}", "this is a {}.",
    "there is a {}", "a point cloud of a {}", "a point cloud of a {}.", "point cloud of a {}",
    "a lidar scan of a {}", "a 3d scan of a {}", "a 3d model of a {}", "a depth map of a {}",
    "a rendering of {}", "some {}", "some {} in a scene",
)  # fmt: skip


def wrappers() -> list[str]:
    """List the sentences around a name that carry no meaning, in lower case."""
    ours = [t.lower() for templates in load_template_sets().values() for t in templates]
    words_before = [(text.split("{}")[0].split() or [""])[-1] for text in ours]
    kept = [t for t, word in zip(ours, words_before, strict=True) if word in _MEANINGLESS]
    return sorted({*kept, *_MORE_WRAPPERS} - {"{}"})


def token_start(tokenizer: ClipTokenizer, minilm: MiniLM) -> np.ndarray:
    """Give first token vectors, (49408, C) float32: principal parts of MiniLM's view of them."""
    texts = [piece.removesuffix("</w>") for piece in tokenizer.pieces]
    distinct = sorted(set(texts))
    row = {text: i for i, text in enumerate(distinct)}
    states = minilm(distinct)[[row[text] for text in texts]].astype(np.float32)
    both = torch.from_numpy(np.concatenate([states[:, 0], states[:, 2]], axis=1))
    both = both - both.mean(0)
    axes = torch.linalg.eigh(both.T @ both)[1].flip(1)[:, :TOKEN_WIDTH]
    vectors = both @ axes
    vectors *= 0.5 / vectors.std()
    out = np.zeros((TOKEN_COUNT, TOKEN_WIDTH), np.float32)
    out[: len(vectors)] = vectors.numpy()
    return out


def main() -> None:
    """Train and store; with ``--holdout`` keep names away, and score them."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    nouns, minilm, tokenizer = (
        Nouns(args.wordnet),
        MiniLM(args.cache),
        ClipTokenizer(open_clip_merges()),
    )
    every = read_phrases(args.phrases)
    drawn, kept_away = holdout_mask(every)
    taught = every.rows(~kept_away) if args.holdout else every
    teacher = Teacher(taught, nouns, minilm, steps=args.teacher_steps)
    lessons = make_lessons(teacher, every, nouns, token_words(tokenizer.pieces))
    print(f"{len(teacher.phrases.prompts)} true vectors, {len(lessons.names)} lessons")
    # Half of the held-out names stay unknown even by name, to tell how the network generalises.
    rows = np.random.default_rng(1).permutation(np.flatnonzero(drawn))
    unread, read = np.array_split(rows, 2)
    plain_names = {row: plain(every.names[row]) for row in rows}
    studied = without_names(lessons, [plain_names[r] for r in unread]) if args.holdout else lessons
    network = train_student(
        studied,
        teacher.mean.numpy(),
        token_start(tokenizer, minilm),
        [*wrappers(), *load_template_sets()["clip2scene"]],
        Schedule(draws=args.draws),
    )
    kind = "without 200 held-out LVIS names" if args.holdout else "with every stored vector"
    save_student(args.out, network, make_lexicon(lessons, tokenizer), wrappers(), {"trained": kind})
    if args.holdout:
        mean = teacher.mean.numpy()
        shipped = MiniTextEncoder(args.out)([every.prompts[r] for r in rows])
        report = {"as shipped": heldout_scores(shipped, every, rows, mean)}
        for title, part in (("names predicted by the teacher", read), ("names never read", unread)):
            answers = network_answers(network, tokenizer, [plain_names[r] for r in part])
            report[f"network alone, {title}"] = heldout_scores(answers, every, part, mean)
        print(json.dumps(report, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--phrases", type=Path, required=True, help="clip_b32_text.npz")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--cache", type=Path, required=True, help="folder for MiniLM's answers")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--holdout", action="store_true", help="keep 200 LVIS names away, score")
    parser.add_argument("--draws", type=int, default=Schedule().draws)
    parser.add_argument(
        "--teacher-steps",
        type=int,
        default=0,
        help="descent for new hyper-parameters; 0 takes kernel.json",
    )
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
