from __future__ import annotations

from pathlib import Path

import laspy
import numpy as np
import pytest

from clip3d_cli.errors import OutputError
from clip3d_cli.formats.las.laspy_check import require_readable


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    las = laspy.LasData(laspy.LasHeader(point_format=6, version="1.4"))
    las.x = np.arange(5.0)
    path = tmp_path / "scan.las"
    las.write(path)
    return path


def test_a_true_copy_passes(scan: Path) -> None:
    require_readable(scan, scan, 5, ["intensity"])


def test_another_count_is_refused(scan: Path) -> None:
    with pytest.raises(OutputError, match=r"5 of 6 points"):
        require_readable(scan, scan, 6, [])


def test_a_missing_field_is_refused(scan: Path) -> None:
    with pytest.raises(OutputError, match="misses clip3d_label"):
        require_readable(scan, scan, 5, ["clip3d_label", "intensity"])


def test_only_a_copy_that_got_worse_is_refused(scan: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.las"
    broken.write_bytes(scan.read_bytes()[:100])
    with pytest.raises(OutputError, match="cannot open"):
        require_readable(broken, scan, 5, [])
    require_readable(broken, broken, 5, [])
