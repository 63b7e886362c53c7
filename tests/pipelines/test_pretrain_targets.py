"""What a pretraining learns from: words that images show, and features made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
from clip3d_cli.core.scenes import PosedScene, Sweep, View
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.errors import SetupError, UsageError
from clip3d_cli.pipelines.pretrain import targets as pretrain_targets
from clip3d_cli.pipelines.pretrain.config import PretrainConfig
from clip3d_cli.pipelines.pretrain.targets import (
    Targets,
    cache_teacher_features,
    keep_frequent_words,
    prepare_targets,
)
from clip3d_cli.pipelines.training.config_sources import with_settings
from clip3d_cli.teachers.cache import write_features
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.encoder import open_text_encoder
from clip3d_cli.text.templates import load_templates

SPACE = FeatureSpace("openclip/five/test", 5)
OPENAI = FeatureSpace("openclip/ViT-B-32/openai", 512)


@dataclass
class Told:
    """A teacher whose patches show the words that an image's first pixels name."""

    space: FeatureSpace = SPACE
    name: str = "told"
    looked: list[int] = field(default_factory=list)

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        shown = image[0, :, 0]
        self.looked.append(len(shown))
        vectors: npt.NDArray[np.float32] = np.eye(5, dtype=np.float32)[shown[None]]
        return vectors


def scene_that_shows(root: Path, name: str, words: Sequence[int]) -> PosedScene:
    """One image, whose patches show these words."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / f"{name}.png"
    pixels = np.zeros((4, len(words), 3), dtype=np.uint8)
    pixels[0, :, 0] = words
    Image.fromarray(pixels).save(path)
    view = View(path, (len(words), 4), np.diag([5.0, 5.0, 1.0]), np.eye(4))
    return PosedScene(name, (Sweep(Path(f"{name}.bin"), np.eye(4)),), (view,))


def five_words() -> ClassEmbeddings:
    """Class p has the words 0 and 2, q has 1, r has 3 and 4."""
    names = Vocabulary.from_names(["p=p1", "q", "r=r1"])
    classes = np.array([0, 1, 0, 2, 2], dtype=np.int32)
    return ClassEmbeddings(np.eye(5, dtype=np.float32), classes, names, SPACE)


def targets_that_show(root: Path, *shown: Sequence[int]) -> tuple[Targets, list[PosedScene]]:
    scenes = [scene_that_shows(root, f"s{n}", words) for n, words in enumerate(shown)]
    files = tuple(write_features(scene, Told(), root) for scene in scenes)
    return Targets(files, root, five_words(), "told", "mini", ("{}",)), scenes


def test_words_are_kept_by_their_share(tmp_path: Path) -> None:
    # Of ten patches p has three (by two words), q one, r six.
    targets, scenes = targets_that_show(tmp_path, [0, 2, 2, 1], [3, 3, 3, 3, 3, 3])
    found = keep_frequent_words(targets, scenes, 0.3)
    assert [entry.name for entry in found.vocabulary.classes] == ["p", "r"]
    # A synonym that no patch shows stays with its class.
    assert found.vectors.tolist() == np.eye(5)[[0, 2, 3, 4]].tolist()
    assert found.class_of_vector.tolist() == [0, 0, 1, 1]
    assert (found.space, found.class_of_vector.dtype) == (SPACE, np.int32)
    for share, names in ((0.1, "pqr"), (0.11, "pr"), (0.31, "r"), (0.6, "r"), (0.0, "pqr")):
        kept = keep_frequent_words(targets, scenes, share).vocabulary.classes
        assert "".join(entry.name for entry in kept) == names, share


def test_a_share_that_no_word_has_is_refused(tmp_path: Path) -> None:
    targets, scenes = targets_that_show(tmp_path, [0, 2, 2, 1], [3, 3, 3, 3, 3, 3])
    with pytest.raises(UsageError, match=r"E_CONFIG.*words\.least_share.*share of 0\.7") as refusal:
        keep_frequent_words(targets, scenes, 0.7)
    assert refusal.value.remedy == "The largest share is 0.600; choose a smaller one."


def test_of_many_scenes_some_are_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain_targets, "_COUNTED_SCENES", 3)
    targets, scenes = targets_that_show(tmp_path, [0], [1], [3], [1], [4])
    found = keep_frequent_words(targets, scenes, 0.01)
    assert [entry.name for entry in found.vocabulary.classes] == ["p", "r"]
    # Which features are whose is known by the place.
    frequent = keep_frequent_words(targets, scenes[:2], 0.5).vocabulary
    assert [entry.name for entry in frequent.classes] == ["p", "q"]


def test_a_teacher_looks_once(tmp_path: Path) -> None:
    scenes = [scene_that_shows(tmp_path, f"s{n}", [0] * (n + 1)) for n in range(3)]
    folder, teacher = tmp_path / "features" / "told", Told()
    told: list[tuple[int, str]] = []

    def progress(steps: Any, what: str) -> Any:
        told.append((len(steps), what))
        return steps

    cache_teacher_features(teacher, scenes, folder, progress=progress)  # type: ignore[arg-type]
    assert teacher.looked == [1, 2, 3]
    assert told == [(3, "encoding images")]
    wanted = [f"s{n}.safetensors" for n in range(3)]
    assert sorted(path.name for path in folder.iterdir()) == wanted
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    cache_teacher_features(teacher, scenes, folder)  # type: ignore[arg-type]
    assert teacher.looked == [1, 2, 3]
    (folder / "s1.safetensors").write_bytes(b"cut off")
    cache_teacher_features(teacher, scenes, folder)  # type: ignore[arg-type]
    assert teacher.looked == [1, 2, 3, 2]
    for name in ("s0.safetensors", "s2.safetensors"):
        assert (folder / name).stat().st_mtime_ns == before[folder / name]


def test_processes_share_the_looking(tmp_path: Path) -> None:
    scenes = [scene_that_shows(tmp_path, f"s{n}", [0] * (n + 1)) for n in range(5)]
    looked = []
    for rank in range(2):
        waited: list[list[float]] = []
        world: Any = SimpleNamespace(rank=rank, size=2, mean=waited.append)
        teacher = Told()
        cache_teacher_features(teacher, scenes, tmp_path / "features", world=world)  # type: ignore[arg-type]
        looked.append(teacher.looked)
        assert waited == [[0.0]]
    assert looked == [[1, 3, 5], [2, 4]]


def named_teacher(space: FeatureSpace) -> Any:
    return SimpleNamespace(name="tiny", space=space, text_encoder="mini")


def test_targets_lie_in_the_run_or_where_they_are_kept(tmp_path: Path) -> None:
    scenes = [scene_that_shows(tmp_path, name, [0]) for name in ("a", "b")]
    names = Vocabulary.from_names(["car=sedan", "tree"])
    run = tmp_path / "run"
    config = with_settings(PretrainConfig(), ["words.templates=photo"])
    found = prepare_targets(config, named_teacher(OPENAI), scenes, names, run)
    assert found.folder == run / "features" / "tiny"
    assert found.files == tuple(found.folder / f"{name}.safetensors" for name in "ab")
    assert (found.teacher, found.text_encoder) == ("tiny", "mini")
    assert found.templates == ("a photo of a {}.",) == tuple(load_templates("photo"))
    wanted = embed_vocabulary(names, open_text_encoder("mini"), found.templates)
    assert found.words.vectors.tolist() == wanted.vectors.tolist()
    # Nothing is written before the run is begun.
    assert not run.exists()
    config = with_settings(config, [f"teacher.features={tmp_path / 'kept'}"])
    elsewhere = prepare_targets(config, named_teacher(OPENAI), scenes, names, run)
    assert elsewhere.folder == tmp_path / "kept" / "tiny"


def test_a_text_encoder_of_another_space_is_refused(tmp_path: Path) -> None:
    teacher = named_teacher(FeatureSpace("openclip/ViT-B-16/openai", 512))
    with pytest.raises(SetupError, match=r"E_SPACE_MISMATCH.*text encoder mini.*ViT-B-16"):
        prepare_targets(PretrainConfig(), teacher, [], Vocabulary.from_names(["a"]), tmp_path)
