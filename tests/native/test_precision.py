"""Labels of the shipped weights in lower precision, AMX's instructions emulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.encoders.native_encoder import NativeEncoder
from clip3d_cli.formats.cloud_file import read_cloud
from clip3d_cli.labelling.label import label_cloud
from clip3d_cli.native import library as native
from clip3d_cli.text.embed import embed_vocabulary
from clip3d_cli.text.mini.encoder import MiniTextEncoder
from clip3d_cli.weights_files import shipped_weights

STREET = Path(__file__).resolve().parents[2] / "examples" / "street.ply"
WORDS = ("road", "sidewalk", "grass", "building", "tree", "car", "person", "pole")


@pytest.fixture(scope="module")
def cloud() -> PointCloud:
    whole = read_cloud(STREET)
    nearest = np.argsort(np.hypot(*whole.xyz[:, :2].T))[:15_000]
    return PointCloud(whole.xyz[nearest])


def labels_in(cloud: PointCloud, precision: str) -> Labels:
    encoder = NativeEncoder.load(shipped_weights("points-default"), precision=precision)
    assert encoder.engine.precision == precision
    words = embed_vocabulary(Vocabulary.from_names(WORDS), MiniTextEncoder(), ("{}",))
    return label_cloud(cloud, encoder, words)


@pytest.mark.parametrize(("precision", "least"), [("high", 0.9999), ("fast", 0.995)])
def test_few_labels_change_in_lower_precision(
    cloud: PointCloud,
    test_engine: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    least: float,
) -> None:
    library = native.load(test_engine)
    monkeypatch.setattr(native, "load", lambda: library)
    before = library.c3d_isa()
    exact = labels_in(cloud, "exact")
    if library.c3d_use_isa(b"amx-emulated") != 0:
        pytest.skip("the emulation needs AVX2")
    try:
        monkeypatch.setattr(library, "c3d_isa", lambda: b"amx")
        rough = labels_in(cloud, precision)
    finally:
        library.c3d_use_isa(before)
    assert len(set(exact.class_index)) >= 4
    assert np.mean(rough.class_index == exact.class_index) >= least
    assert not np.array_equal(rough.score, exact.score)
