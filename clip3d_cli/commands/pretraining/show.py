"""How a pretraining ended, as lines and tables for people and as documents for programs."""

from __future__ import annotations

import shlex
from pathlib import Path

from clip3d_cli.commands.engine_choice import USUAL_TEMPLATES
from clip3d_cli.commands.evaluating.show import show_judged
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.pipelines.evaluate.run import EvalOptions
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.run import Pretrained


def show_end(ended: Pretrained, config: PretrainConfig, voice: Voice) -> None:
    """Say where the weights are, how good they are, and what to type next."""
    if voice.quiet:
        return
    voice.note(f"{ended.steps:,} steps done; weights in {ended.weights}")
    if ended.judged is not None:
        show_judged(ended.judged.evaluation, EvalOptions(), config.data.judged, voice)
    words = _words_to_ask_for(config)
    command = ["clip3d", "label", "scan.ply", "--weights", str(ended.weights), *words]
    voice.note(f"next: {shlex.join(command)}")


def ending(ended: Pretrained) -> dict[str, object]:
    """What the run's document says besides the usual."""
    return {"evaluation": None if ended.judged is None else ended.judged.document}


def _words_to_ask_for(config: PretrainConfig) -> list[str]:
    """Options of ``clip3d label`` that ask for the words of the training."""
    words = config.words
    listed = Path(config.data.root) / "vocabulary.toml"
    if words.classes:
        options = ["--classes", ",".join(words.classes)]
    elif words.vocabulary == "dataset":
        options = ["--classes", str(listed) if listed.is_file() else "car,tree,road"]
    else:
        kind = "--classes" if Path(words.vocabulary).suffix else "--vocabulary"
        options = [kind, words.vocabulary]
    if words.templates != USUAL_TEMPLATES:
        options += ["--templates", words.templates]
    return options
