from __future__ import annotations

import numpy as np
import pytest

from clip3d_cli.core.labels import Labels
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.core.voxels import VoxelGrid


def test_types_refuse_what_they_do_not_promise() -> None:
    with pytest.raises(TypeError, match="xyz must be float64"):
        PointCloud(np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="rgb"):
        PointCloud(np.zeros((3, 3)), rgb=np.zeros((2, 3), np.uint8))
    with pytest.raises(TypeError, match="cells"):
        VoxelGrid(np.zeros((1, 3), np.int64), np.zeros(1, np.int64), np.zeros(3), 0.1)


def test_class_numbers_in_files() -> None:
    vocabulary = Vocabulary.from_names(["car=sedan|van", "road"])
    assert vocabulary.classes[0].words == ("car", "sedan", "van")
    labels = Labels(np.array([1, -1, 0], np.int32), np.zeros(3, np.float32), vocabulary)
    assert labels.class_id.tolist() == [2, 0, 1]
