"""The Python interface of labelling: models, opened once, that label any number of clouds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from clip3d_cli.core.embeddings import ClassEmbeddings
from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.closed_head import closed_classes
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.voxel_encoder import VoxelEncoder
from clip3d_cli.encoders.weights_file import file_sha256, read_spec
from clip3d_cli.errors import UsageError
from clip3d_cli.labelling.background import (
    Background,
    everyday_background,
    everyday_vocabulary,
)
from clip3d_cli.labelling.device import choose_device
from clip3d_cli.labelling.label import (
    LabelOptions,
    Progress,
    VoxelFeatures,
    embed_cloud,
    label_cloud,
    silent,
)
from clip3d_cli.labelling.open_encoder import open_encoder
from clip3d_cli.labelling.words import WordChecker
from clip3d_cli.text.embed import embed_vocabulary, find_truncated_words
from clip3d_cli.text.encoder import TextEncoder, open_text_encoder
from clip3d_cli.text.templates import select_templates
from clip3d_cli.weights_files import DEFAULT_WEIGHTS, find_weights

if TYPE_CHECKING:
    from clip3d_cli.encoders.spec import HeadName
    from clip3d_cli.sparse.backend import Precision

Classes = Vocabulary | ClassEmbeddings | Sequence[str] | str
BackgroundChoice = Literal["auto", "none"] | Sequence[str]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The models to open, and where they run.

    Attributes:
        weights: name of shipped weights, or path of a safetensors file.
        text_encoder: ``mini``, ``openclip`` or ``openclip:MODEL/TAG``; None takes the one that the
            weights name.
        templates: name of a template set, path of a file, or the templates themselves.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        precision: ``auto``, ``exact`` (float32), ``high`` or ``fast``.
        backend: ``auto``, or a name of kind ``backends`` in the registry.
        head: ``text`` compares points with words; ``closed`` gives the classes that the weights
            were fine-tuned on.
    """

    weights: str | Path = DEFAULT_WEIGHTS
    text_encoder: str | None = None
    templates: str | Path | Sequence[str] = "photo"
    device: str = "auto"
    precision: Precision | Literal["auto"] = "auto"
    backend: str = "auto"
    head: HeadName = "text"


class Labeller:
    """A point encoder and a text encoder, ready on a device.

    Examples:
        >>> labeller = Labeller.open()
        >>> labels = labeller.label(cloud, ["road", "car=sedan|van", "tree"])
        >>> labels.class_index  # (N,) int32, -1 where a point is unlabeled

    Attributes:
        encoder: the point encoder.
        weights: file of the point encoder.
        device: where the encoder runs, such as ``cpu`` or ``cuda:0``.
        device_reason: why it runs there.
        backend: name of the sparse-convolution backend.
        precision: ``exact``, ``high`` or ``fast``.
        engine: backend and the reason for it, for people.
        templates: sentences around each word, with one ``{}`` each.
        load_seconds: how long opening took.
    """

    def __init__(self, choice: ModelChoice) -> None:
        """Open the models: see `open`."""
        began = time.perf_counter()
        self.templates = select_templates(choice.templates)
        self.weights = find_weights(str(choice.weights))
        self.device, self.device_reason = choose_device(choice.device)
        opened = open_encoder(
            self.weights,
            self.device,
            backend=choice.backend,
            precision=choice.precision,
            head=choice.head,
        )
        self.encoder: VoxelEncoder = opened.encoder
        self.backend = opened.backend
        self.precision = opened.precision
        self.engine = opened.engine
        self._text_encoder_name = choice.text_encoder or self.spec.text_encoder
        self._text_encoder: TextEncoder | None = None
        self._word_checker: WordChecker | None = None
        self._sha256: str | None = None
        self.load_seconds = time.perf_counter() - began

    @classmethod
    def open(  # noqa: PLR0913 - each option of a public function has its own name and type
        cls,
        weights: str | Path = DEFAULT_WEIGHTS,
        *,
        text_encoder: str | None = None,
        templates: str | Path | Sequence[str] = "photo",
        device: str = "auto",
        precision: Precision | Literal["auto"] = "auto",
        backend: str = "auto",
        head: HeadName = "text",
    ) -> Labeller:
        """Open a point encoder; the text encoder is opened when words are first needed.

        Args:
            weights: see `ModelChoice`, as all other arguments.
            text_encoder: name of the text encoder.
            templates: sentences around each word.
            device: where the encoder runs.
            precision: precision of its matrix products.
            backend: sparse-convolution backend.
            head: head of the encoder.

        Raises:
            UsageError: an option has an unknown value.
            SetupError: weights, device, backend or package are missing; or the weights have no
                closed head, and it was requested.
        """
        return cls(ModelChoice(weights, text_encoder, templates, device, precision, backend, head))

    @property
    def spec(self) -> EncoderSpec:
        """Everything about the point encoder except its weights."""
        return self.encoder.spec

    @property
    def text_encoder(self) -> str | None:
        """Name of the text encoder; None for a closed head, which reads no words."""
        return None if self.spec.head == "closed" else self._text_encoder_name

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights file, in hexadecimal digits."""
        if self._sha256 is None:
            self._sha256 = file_sha256(self.weights)
        return self._sha256

    @property
    def word_checker(self) -> WordChecker:
        """Checks words against English and what the weights were trained on.

        Raises:
            SetupError: the text encoder is missing, or lives in another space.
        """
        if self._word_checker is None:
            self._word_checker = WordChecker(self.spec, self._open_text_encoder())
        return self._word_checker

    def embed_classes(
        self, classes: Classes | None, *, by_hand: bool | None = None
    ) -> ClassEmbeddings:
        """Return the vectors of classes in the space of the points.

        A word given by hand has the vector of the word that stands for it: articles, plurals and
        synonyms change nothing. See `clip3d_cli.labelling.words`.

        Args:
            classes: a vocabulary; class names, each with synonyms after ``=`` (``car=sedan|van``);
                or one string of names separated by commas. Vectors are returned unchanged. None
                means all classes of the closed head.
            by_hand: whether the words are given by hand; None means that a vocabulary is not, and
                all others are.

        Raises:
            UsageError: E_CLASSES: there is no class, a name is given twice, or the closed head
                was not trained on a class.
            SetupError: the text encoder is missing, or lives in another space.
        """
        if isinstance(classes, ClassEmbeddings):
            return classes
        if by_hand is None:
            by_hand = not isinstance(classes, Vocabulary)
        if isinstance(classes, str):
            classes = [name.strip() for name in classes.split(",") if name.strip()]
        if classes is not None and not isinstance(classes, Vocabulary):
            classes = Vocabulary.from_names(list(classes))
        if self.spec.head == "closed":
            return closed_classes(self.spec.closed, classes)
        if classes is None:
            classes = Vocabulary.from_names([])
        words = self.word_checker.embedded_vocabulary(classes) if by_hand else classes
        embedded = embed_vocabulary(words, self._open_text_encoder(), self.templates)
        return replace(embedded, vocabulary=classes)

    def embed_background(
        self, background: BackgroundChoice, classes: ClassEmbeddings
    ) -> Background | None:
        """Return what competes with the classes, so that a point can be none of them.

        Args:
            background: ``none``: nothing, every point gets its nearest class. Words: these, and
                "none of these". ``auto``: everyday words of other kinds than the classes, and
                "none of these"; unless nearly all points fit the classes.
            classes: the embedded classes.

        Raises:
            UsageError: E_USAGE: the labeller was opened with ``head="closed"``.
            SetupError: the text encoder is missing, or lives in another space.
        """
        if background == "none":
            return None
        if self.spec.head == "closed":
            raise UsageError(
                "E_USAGE",
                "--background",
                "a closed head knows its own classes only",
                "Leave it out, or use --background none.",
            )
        if background == "auto":
            return everyday_background(classes, self.embed_classes(everyday_vocabulary()))
        return Background(self.embed_classes(list(background)).vectors)

    def label(  # noqa: PLR0913 - each option of a public function has its own name and type
        self,
        cloud: PointCloud,
        classes: Classes | None = None,
        *,
        voxel_m: float | None = None,
        tile_m: float | None = None,
        background: BackgroundChoice | None = None,
        unknown_threshold: float = 0.0,
        ranking: int = 0,
        progress: Progress = silent,
    ) -> Labels:
        """Give every point the class with the nearest word; leave it unlabeled where none fits.

        Args:
            cloud: N points.
            classes: see `embed_classes`.
            background: see `embed_background`. None means ``auto`` for classes given by name, and
                ``none`` for a `Vocabulary` or `ClassEmbeddings`.
            voxel_m: voxel edge in metres; None chooses one of the encoder's sizes by density.
            tile_m: maximum tile width in metres; None cuts only where it does not fit.
            unknown_threshold: points with a lower score are left unlabeled, 0…1.
            ranking: number of classes to rank for each point; 0 for the best class only.
            progress: reports each tile.

        Returns:
            Labels of the N points, in the order of the cloud.

        Raises:
            UsageError: see `embed_classes`.
            InputError: E_NO_CHANNEL: the cloud lacks a channel that the encoder needs;
                E_VOXEL_RANGE: its extent is too large for the voxel size.
            SetupError: see `embed_classes`.
        """
        if background is None:
            by_name = not isinstance(classes, Vocabulary | ClassEmbeddings)
            background = "auto" if by_name and self.spec.head == "text" else "none"
        embedded = self.embed_classes(classes)
        options = LabelOptions(voxel_m, tile_m, unknown_threshold, ranking)
        return label_cloud(
            cloud,
            self.encoder,
            embedded,
            options,
            background=self.embed_background(background, embedded),
            progress=progress,
        )

    def embed(
        self,
        cloud: PointCloud,
        *,
        voxel_m: float | None = None,
        tile_m: float | None = None,
        progress: Progress = silent,
    ) -> VoxelFeatures:
        """Return a unit vector in the text space for every voxel of a cloud.

        Args:
            cloud: N points.
            voxel_m: voxel edge in metres; None chooses one of the encoder's sizes by density.
            tile_m: maximum tile width in metres; None cuts only where it does not fit.
            progress: reports each tile.

        Raises:
            InputError: E_NO_CHANNEL: the cloud lacks a channel that the encoder needs;
                E_VOXEL_RANGE: its extent is too large for the voxel size.
            UsageError: E_USAGE: the labeller was opened with ``head="closed"``.
        """
        if self.spec.head == "closed":
            raise UsageError(
                "E_USAGE",
                "Labeller.embed",
                "a closed head has no vectors in the text space",
                'Open the labeller with head="text".',
            )
        return embed_cloud(cloud, self.encoder, voxel_m=voxel_m, tile_m=tile_m, progress=progress)

    def truncated_words(self, vocabulary: Vocabulary) -> list[str]:
        """Return the words whose end the text encoder cannot read, because they are too long.

        Raises:
            SetupError: the text encoder is missing, or lives in another space.
        """
        if self.spec.head == "closed":
            return []
        return find_truncated_words(vocabulary, self._open_text_encoder(), self.templates)

    def _open_text_encoder(self) -> TextEncoder:
        if self._text_encoder is None:
            name = self._text_encoder_name
            encoder = open_text_encoder(name)
            self.spec.space.require(encoder.space, f"the text encoder {name}")
            self._text_encoder = encoder
        return self._text_encoder


def open_word_checker(choice: ModelChoice) -> WordChecker:
    """Return what checks words for a choice of models; the point encoder is not opened.

    Raises:
        SetupError: weights or the text encoder are missing, or their feature spaces differ.
    """
    spec = read_spec(find_weights(str(choice.weights)))
    name = choice.text_encoder or spec.text_encoder
    encoder = open_text_encoder(name)
    spec.space.require(encoder.space, f"the text encoder {name}")
    return WordChecker(spec, encoder)
