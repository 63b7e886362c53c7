"""Train the mini text encoder: ``python -m weights.recipe.text.train --help``."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from clip3d_cli.text.bpe import TOKEN_COUNT, ClipTokenizer
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.text.templates import load_template_sets
from weights.recipe.text.evaluation import embed_by_network, score_held_out
from weights.recipe.text.features import normalize_name
from weights.recipe.text.lexicon import make_lexicon
from weights.recipe.text.merges import open_clip_merges
from weights.recipe.text.minilm import MiniLM
from weights.recipe.text.name_lists import token_words
from weights.recipe.text.network import MiniTextNetwork
from weights.recipe.text.phrases import Phrases, draw_holdout, read_phrases
from weights.recipe.text.student import Schedule, train_student
from weights.recipe.text.teacher import Teacher
from weights.recipe.text.training_targets import exclude_names, make_targets
from weights.recipe.text.weights_writer import write_weights
from weights.recipe.text.wordnet import Nouns

TOKEN_WIDTH = 128
# Any other word right before the name changes its meaning, as in "a plastic {}."
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
    """Return the templates that add no meaning to a name, in lower case."""
    shipped = [t.lower() for templates in load_template_sets().values() for t in templates]
    words_before = [(text.split("{}")[0].split() or [""])[-1] for text in shipped]
    kept = [t for t, word in zip(shipped, words_before, strict=True) if word in _MEANINGLESS]
    return sorted({*kept, *_MORE_WRAPPERS} - {"{}"})


def initial_tokens(tokenizer: ClipTokenizer, minilm: MiniLM) -> np.ndarray:
    """Return initial token vectors: the principal components of MiniLM's states of each token.

    Returns:
        (49408, C) float32.
    """
    texts = [piece.removesuffix("</w>") for piece in tokenizer.pieces]
    distinct = sorted(set(texts))
    row_of_text = {text: i for i, text in enumerate(distinct)}
    states = minilm(distinct)[[row_of_text[text] for text in texts]].astype(np.float32)
    both = torch.from_numpy(np.concatenate([states[:, 0], states[:, 2]], axis=1))
    both = both - both.mean(0)
    axes = torch.linalg.eigh(both.T @ both)[1].flip(1)[:, :TOKEN_WIDTH]
    vectors = both @ axes
    vectors *= 0.5 / vectors.std()
    out = np.zeros((TOKEN_COUNT, TOKEN_WIDTH), np.float32)
    out[: len(vectors)] = vectors.numpy()
    return out


def main() -> None:
    """Train and write the encoder; with ``--holdout``, hold names out and print scores."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    nouns, minilm = Nouns(args.wordnet), MiniLM(args.cache)
    tokenizer = ClipTokenizer(open_clip_merges())
    phrases = read_phrases(args.phrases)
    is_drawn, is_excluded = draw_holdout(phrases)
    known = phrases.select(~is_excluded) if args.holdout else phrases
    teacher = Teacher(known, nouns, minilm, steps=args.teacher_steps)
    targets = make_targets(teacher, phrases, nouns, token_words(tokenizer.pieces))
    print(f"{len(teacher.phrases.prompts)} CLIP vectors, {len(targets.names)} training targets")
    # Half of the held-out names are excluded even as names, to measure how the network generalizes.
    rows = np.random.default_rng(1).permutation(np.flatnonzero(is_drawn))
    unread, read = np.array_split(rows, 2)
    studied = targets
    if args.holdout:
        studied = exclude_names(targets, [normalize_name(phrases.names[r]) for r in unread])
    network = train_student(
        studied,
        teacher.mean.numpy(),
        initial_tokens(tokenizer, minilm),
        [*wrappers(), *load_template_sets()["clip2scene"]],
        tokenizer,
        Schedule(draws=args.draws),
    )
    kind = "without 200 held-out LVIS names" if args.holdout else "with every stored vector"
    lexicon = make_lexicon(targets, tokenizer)
    write_weights(args.out, network, lexicon, wrappers(), {"trained": kind})
    if args.holdout:
        mean = teacher.mean.numpy()
        as_shipped = MiniTextEncoder(args.out)([phrases.prompts[r] for r in rows])
        report = {"as shipped": score_held_out(as_shipped, phrases, rows, mean)}
        for title, part in (("names predicted by the teacher", read), ("names never read", unread)):
            vectors = _network_vectors(network, tokenizer, phrases, part)
            report[f"network alone, {title}"] = score_held_out(vectors, phrases, part, mean)
        print(json.dumps(report, indent=1))


def _network_vectors(
    network: MiniTextNetwork, tokenizer: ClipTokenizer, phrases: Phrases, rows: np.ndarray
) -> np.ndarray:
    """Return the network's own vectors of the names at some rows, (P, D)."""
    return embed_by_network(network, tokenizer, [normalize_name(phrases.names[r]) for r in rows])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the mini text encoder.")
    parser.add_argument("--phrases", type=Path, required=True, help="clip_b32_text.npz")
    parser.add_argument(
        "--wordnet", type=Path, default=Path("/usr/share/wordnet"), help="folder of WordNet 3.0"
    )
    parser.add_argument("--cache", type=Path, required=True, help="folder for MiniLM's states")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument(
        "--holdout", action="store_true", help="hold out 200 LVIS names and print scores"
    )
    parser.add_argument(
        "--draws", type=int, default=Schedule().draws, help="prompts to train the network on"
    )
    parser.add_argument(
        "--teacher-steps",
        type=int,
        default=0,
        help="steps to fit the kernel's hyperparameters; 0 reads kernel.json",
    )
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    return parser.parse_args()


if __name__ == "__main__":
    main()
