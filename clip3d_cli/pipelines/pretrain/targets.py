"""What a pretraining learns from: the teacher's features on disk, and the words they meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from clip3d_cli import registry
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import ClassEmbeddings, Vocabulary
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.label import Progress, silent
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.teachers.cache import features_folder, read_features, write_features
from clip3d_cli.teachers.sampling import pseudo_labels
from clip3d_cli.teachers.teacher import Teacher
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.encoder import open_text_encoder
from clip3d_cli.text.templates import templates_named
from clip3d_cli.training.distributed import ALONE, World

_LOOKED_AT = 200


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The teacher's features of every scene, and the words.

    Attributes:
        files: of every scene, in order.
        folder: where they lie.
        words: what pixels are told apart by.
        teacher: its name.
        text_encoder: the name of what embedded the words.
        templates: the sentences around them.
    """

    files: tuple[Path, ...]
    folder: Path
    words: ClassEmbeddings
    teacher: str
    text_encoder: str
    templates: tuple[str, ...]


def open_teacher(config: PretrainConfig, device: torch.device) -> Teacher:
    """The frozen image model of a configuration.

    Raises:
        UsageError: there is no such model or variant.
        SetupError: its weights cannot be had.
    """
    options = config.teacher
    teacher: Teacher = registry.part("teachers", options.kind)(
        options.model,
        variant=options.variant,
        image_px=options.image_px or None,
        device=device,
    )
    return teacher


def targets_of(
    config: PretrainConfig,
    teacher: Teacher,
    scenes: Sequence[PosedScene],
    vocabulary: Vocabulary,
    run: Path,
) -> Targets:
    """Where the teacher's features will lie, and the words, embedded by its text encoder.

    Args:
        config: where features are kept, and which sentences stand around words.
        teacher: whose they are.
        scenes: whose images.
        vocabulary: the words.
        run: the folder of the run.

    Raises:
        SetupError: the text encoder cannot be had, or is of another space.
    """
    text = open_text_encoder(teacher.text_encoder)
    teacher.space.require(text.space, f"the text encoder {teacher.text_encoder}")
    folder = features_folder(Path(config.teacher.features or run / "features"), teacher)
    templates = templates_named(config.words.templates)
    return Targets(
        tuple(folder / f"{scene.name}.safetensors" for scene in scenes),
        folder,
        embed_vocabulary(vocabulary, text, templates),
        teacher.name,
        teacher.text_encoder,
        templates,
    )


def look(
    teacher: Teacher,
    scenes: Sequence[PosedScene],
    folder: Path,
    *,
    world: World = ALONE,
    progress: Progress = silent,
) -> None:
    """Let the teacher look at every image that it has not seen yet.

    Args:
        teacher: who looks.
        scenes: whose images.
        folder: of its features.
        world: each of its processes looks at a part of the scenes.
        progress: wraps them.

    Raises:
        Clip3DError: an image cannot be read, or the disk is full.
    """
    for place in progress(range(world.rank, len(scenes), world.size), "looking at images"):
        write_features(scenes[place], teacher, folder)
    world.mean([0.0])  # Nobody goes on before all have looked.


def kept_words(
    targets: Targets, scenes: Sequence[PosedScene], least_share: float
) -> ClassEmbeddings:
    """The words that the images of the scenes show often enough.

    Of a long list, this makes the vocabulary of the scenes at hand: every patch of the images
    (of at most two hundred scenes, spread evenly) votes for its nearest word.

    Args:
        targets: the features and the whole list.
        scenes: in the order of the features.
        least_share: of all patches that a word must have, 0…1.

    Raises:
        UsageError: E_CONFIG: no word has that share.
    """
    words = targets.words
    votes = np.zeros(len(words.vectors), dtype=np.int64)
    places = np.unique(np.linspace(0, len(scenes) - 1, min(len(scenes), _LOOKED_AT)).round())
    for place in places.astype(int):
        for grid in read_features(targets.files[place], scenes[place], words.space):
            flat = grid.reshape(-1, words.space.dim).astype(np.float32)
            votes += np.bincount(pseudo_labels(flat, words)[0], minlength=len(votes))
    share_of_class = np.bincount(words.class_of_vector, votes) / max(1, votes.sum())
    kept = np.flatnonzero(share_of_class >= least_share)
    if not len(kept):
        raise UsageError(
            "E_CONFIG",
            "words.least_share",
            f"no word has a share of {least_share} of the images",
            f"The highest is {share_of_class.max():.3f}.",
        )
    rows = np.isin(words.class_of_vector, kept)
    classes = tuple(words.vocabulary.classes[index] for index in kept)
    return ClassEmbeddings(
        words.vectors[rows],
        np.searchsorted(kept, words.class_of_vector[rows]).astype(np.int32),
        replace(words.vocabulary, classes=classes),
        words.space,
    )
