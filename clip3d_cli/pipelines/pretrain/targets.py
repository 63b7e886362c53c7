"""Targets of a pretraining: the teacher's features of the images, and the embedded words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from clip3d_cli import registry
from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.label import Progress, silent
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.teachers.cache import features_folder, read_features, write_features
from clip3d_cli.teachers.sampling import pseudo_labels
from clip3d_cli.teachers.teacher import Teacher
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.encoder import open_text_encoder
from clip3d_cli.text.templates import load_templates
from clip3d_cli.training.distributed import SINGLE_PROCESS, World

# Most scenes whose patches are counted to find the frequent words.
_COUNTED_SCENES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """The teacher's features of every scene, and the words.

    Attributes:
        files: file with the features of each scene, in the order of the scenes.
        folder: folder of these files.
        words: embedded words that pixels are labelled with.
        teacher: name of the teacher.
        text_encoder: name of the text encoder that embedded the words.
        templates: sentences around the words.
    """

    files: tuple[Path, ...]
    folder: Path
    words: ClassEmbeddings
    teacher: str
    text_encoder: str
    templates: tuple[str, ...]


def open_teacher(config: PretrainConfig, device: torch.device) -> Teacher:
    """Return the frozen image model of a config.

    Raises:
        UsageError: there is no such model or variant.
        SetupError: its weights are missing.
    """
    options = config.teacher
    teacher: Teacher = registry.load("teachers", options.kind)(
        options.model,
        variant=options.variant,
        image_px=options.image_px or None,
        device=device,
    )
    return teacher


def prepare_targets(
    config: PretrainConfig,
    teacher: Teacher,
    scenes: Sequence[PosedScene],
    vocabulary: Vocabulary,
    run_folder: Path,
) -> Targets:
    """Return the embedded words, and the files in which the teacher's features will be.

    Nothing is written: see `cache_teacher_features`.

    Args:
        config: folder of the features, and the sentences around words.
        teacher: the image model.
        scenes: training scenes.
        vocabulary: words to embed.
        run_folder: folder of the run.

    Raises:
        SetupError: the text encoder is missing, or is of another feature space than the teacher.
    """
    text = open_text_encoder(teacher.text_encoder)
    teacher.space.require(text.space, f"the text encoder {teacher.text_encoder}")
    folder = features_folder(Path(config.teacher.features or run_folder / "features"), teacher)
    templates = load_templates(config.words.templates)
    return Targets(
        tuple(folder / f"{scene.name}.safetensors" for scene in scenes),
        folder,
        embed_vocabulary(vocabulary, text, templates),
        teacher.name,
        teacher.text_encoder,
        templates,
    )


def cache_teacher_features(
    teacher: Teacher,
    scenes: Sequence[PosedScene],
    folder: Path,
    *,
    world: World = SINGLE_PROCESS,
    progress: Progress = silent,
) -> None:
    """Compute the teacher's features of every image whose features are not in the folder yet.

    Args:
        teacher: the image model.
        scenes: scenes with images; every process takes each ``world.size``-th of them.
        folder: folder of the features.
        world: this process among those that train together.
        progress: wraps the scenes.

    Raises:
        Clip3DError: an image cannot be read, or a file cannot be written.
    """
    for index in progress(range(world.rank, len(scenes), world.size), "encoding images"):
        write_features(scenes[index], teacher, folder)
    # Wait for the other processes: batches need the features of all scenes.
    world.mean([0.0])


def keep_frequent_words(
    targets: Targets, scenes: Sequence[PosedScene], least_share: float
) -> ClassEmbeddings:
    """Return the words of the classes that win at least a share of all image patches.

    Out of a long list, this finds the vocabulary of the scenes at hand. Every patch of the images,
    of at most 200 scenes spread evenly, counts for the class of its nearest word.

    Args:
        targets: the features, and all words.
        scenes: scenes in the order of the features.
        least_share: share of all patches that a class must have, 0 … 1.

    Raises:
        UsageError: E_CONFIG: no class has that share.
    """
    words = targets.words
    patches_of_word = np.zeros(len(words.vectors), dtype=np.int64)  # (W,)
    last = len(scenes) - 1
    indices = np.unique(np.linspace(0, last, min(len(scenes), _COUNTED_SCENES)).round())
    for index in indices.astype(int):
        for features in read_features(targets.files[index], scenes[index], words.space):
            vectors = features.reshape(-1, words.space.dim).astype(np.float32)
            nearest = pseudo_labels(vectors, words)[0]
            patches_of_word += np.bincount(nearest, minlength=len(patches_of_word))
    patches_of_class = np.bincount(words.class_of_vector, patches_of_word)
    share_of_class = patches_of_class / max(1, patches_of_word.sum())
    kept = np.flatnonzero(share_of_class >= least_share)  # classes
    if not len(kept):
        raise UsageError(
            "E_CONFIG",
            "words.least_share",
            f"no class has a share of {least_share} of the image patches",
            f"The largest share is {share_of_class.max():.3f}; choose a smaller one.",
        )
    rows = np.isin(words.class_of_vector, kept)  # (W,) True for the words of these classes
    classes = tuple(words.vocabulary.classes[index] for index in kept)
    return ClassEmbeddings(
        words.vectors[rows],
        # kept is sorted, so this is the new index of each word's class.
        np.searchsorted(kept, words.class_of_vector[rows]).astype(np.int32),
        replace(words.vocabulary, classes=classes),
        words.space,
    )
