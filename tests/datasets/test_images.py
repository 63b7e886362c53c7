"""Photos and depth images as arrays, and errors of broken files."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip3d_cli.datasets.images import image_size, read_depth, read_image
from clip3d_cli.errors import InputError

COLORS = np.random.default_rng(5).integers(0, 256, (6, 9, 3), dtype=np.uint8)
DEPTHS = np.array([[0, 1000, 65535], [250, 1, 40000]], dtype=np.uint16)


def saved(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def test_pixels_as_they_are_stored(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", COLORS)
    read = read_image(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, COLORS)
    assert image_size(path) == (9, 6)


def test_the_note_of_an_upright_camera_is_not_followed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.jpg"
    Image.fromarray(COLORS).save(path, exif=exif)
    assert read_image(path).shape == (6, 9, 3)
    assert image_size(path) == (9, 6)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_other_kinds_of_pixels_become_rgb(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), COLORS, mode)
    expected = np.asarray(Image.fromarray(COLORS).convert(mode).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)


def test_transparency_is_dropped(tmp_path: Path) -> None:
    clear = np.concatenate([COLORS, np.zeros((6, 9, 1), np.uint8)], axis=2)
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", clear)), COLORS)


def test_of_sixteen_bits_the_upper_eight(tmp_path: Path) -> None:
    read = read_image(saved(tmp_path / "a.png", DEPTHS))
    np.testing.assert_array_equal(read, np.repeat((DEPTHS >> 8)[:, :, None], 3, axis=2))


def test_depth_in_metres(tmp_path: Path) -> None:
    depth = read_depth(saved(tmp_path / "d.png", DEPTHS), 0.001)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, DEPTHS / 1000.0, rtol=1e-6)


def test_depth_in_fractions_and_unknown_depth(tmp_path: Path) -> None:
    fractions = np.array([[1.5, np.nan], [-1.0, np.inf]], dtype=np.float32)
    depth = read_depth(saved(tmp_path / "d.tif", fractions), 2.0)
    assert depth.tolist() == [[3.0, 0.0], [0.0, 0.0]]


def png_header_of(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + packed + struct.pack(">I", 0) + b"IDAT"


def test_every_bad_image_is_refused_by_name(tmp_path: Path) -> None:
    whole = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for suffix in ("jpg", "png"):
        content = saved(tmp_path / f"whole.{suffix}", whole).read_bytes()
        (tmp_path / f"half.{suffix}").write_bytes(content[: len(content) // 2])
    (tmp_path / "words.jpg").write_text("no pixels here")
    (tmp_path / "nothing.jpg").write_bytes(b"")
    (tmp_path / "bomb.png").write_bytes(png_header_of(60000, 60000))
    saved(tmp_path / "fractions.tif", np.ones((2, 2), np.float32))
    refusals = {
        "half.jpg": "E_TRUNCATED",
        "half.png": "E_TRUNCATED",
        "words.jpg": "E_UNSUPPORTED",
        "nothing.jpg": "E_EMPTY_FILE",
        "absent.jpg": "E_NOT_FOUND",
        "bomb.png": "E_TOO_LARGE",
        "fractions.tif": "E_UNSUPPORTED",
    }
    for name, code in refusals.items():
        with pytest.raises(InputError, match=name) as caught:
            read_image(tmp_path / name)
        assert caught.value.code == code, name


def test_a_large_panorama_is_read_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "a.png", COLORS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    assert read_image(path).shape == (6, 9, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_picture_of_depth_is_not_depth(tmp_path: Path, mode: str) -> None:
    path = saved(tmp_path / "d.png", COLORS, mode)
    with pytest.raises(InputError, match=f"its pixels are {mode}, not one channel of 16 bits"):
        read_depth(path, 0.001)
