"""Pictures of points drawn on photos, with legends and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from clip3d_cli.formats.atomic import atomic_write, require_folder

Picture = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

# From near (warm) to far (cold).
_DEPTH_COLORS = np.array(
    [
        (255, 236, 120),
        (255, 158, 56),
        (238, 66, 102),
        (160, 50, 190),
        (64, 98, 232),
        (52, 200, 240),
    ],
    dtype=np.float64,
)
# The photo keeps this share of its brightness, and loses this share of its color.
_BRIGHTNESS, _DESATURATION = 0.62, 0.5
# Width and opacity of the dark rim around a dot.
_RIM_PX, _RIM_OPACITY = 1.0, 0.6
_WIDTH_PER_RADIUS_PX = 1000
_STRIP_COLOR, _TEXT_COLOR, _MUTED_COLOR = (18, 20, 24), (236, 238, 242), (150, 156, 166)
_JPEG_QUALITY = 90


def draw_points(
    image: Picture,
    uv: npt.NDArray[np.float64],
    colors: Picture,
    depth_m: npt.NDArray[np.float64],
    *,
    radius_px: float | None = None,
) -> Picture:
    """Return the photo, darkened, with a dot for every point; near points cover far ones.

    Args:
        image: (H, W, 3) uint8 RGB.
        uv: (P, 2) float64, pixels to the right and down; (0, 0) is the centre of the upper left
            pixel.
        colors: (P, 3) uint8 RGB.
        depth_m: (P,) float64, metres.
        radius_px: radius of a dot; by default it grows with the width of the image.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    radius = radius_px or max(width / _WIDTH_PER_RADIUS_PX, 1.0)
    grey = image.mean(axis=2, keepdims=True)
    canvas = _BRIGHTNESS * (_DESATURATION * grey + (1 - _DESATURATION) * image)
    point, row, column, away = _dot_pixels(uv, depth_m, radius, (height, width))
    # (H, W): the point drawn at each pixel, and the distance of the pixel from its centre.
    point_at = np.full((height, width), -1, dtype=np.int64)
    distance = np.full((height, width), np.inf)
    # numpy keeps the last of several values for one pixel, which is that of the nearest point.
    point_at[row, column] = point
    distance[row, column] = away
    drawn = point_at >= 0
    # Opacity of the dot and of its rim, which falls over one pixel at their edges.
    dot = np.clip(radius + 0.5 - distance[drawn], 0, 1)[:, None]
    rim = np.clip(radius + _RIM_PX + 0.5 - distance[drawn], 0, 1)[:, None]
    background = canvas[drawn] * (1 - _RIM_OPACITY * rim)
    canvas[drawn] = background * (1 - dot) + colors[point_at[drawn]] * dot
    picture: Picture = np.rint(canvas).astype(np.uint8)
    return picture


def _dot_pixels(
    uv: npt.NDArray[np.float64],
    depth_m: npt.NDArray[np.float64],
    radius: float,
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.int64], ...]:
    """Return point, row, column and distance of every pixel that a dot or a rim may cover.

    They come in drawing order: all rims before all dots, so that no rim cuts a neighbour's dot,
    and far points before near ones.
    """
    order = np.argsort(-depth_m, kind="stable")
    centers = uv[order]
    reach = int(np.ceil(radius + _RIM_PX + 0.5))
    side = np.arange(-reach, reach + 1)
    # (S, 2): offsets of a square of pixels around a dot.
    offsets = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    # (P, S, 2): these pixels of every point, as column and row; flattened to (P · S,) below.
    pixels = np.rint(centers).astype(np.int64)[:, None] + offsets
    away = np.linalg.norm(pixels - centers[:, None], axis=2).ravel()
    column, row = pixels.reshape(-1, 2).T
    point = np.repeat(order, len(offsets))
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    rims = np.flatnonzero(inside & (away >= radius + 0.5) & (away < radius + _RIM_PX + 0.5))
    dots = np.flatnonzero(inside & (away < radius + 0.5))
    kept = np.concatenate([rims, dots])
    return point[kept], row[kept], column[kept], away[kept]


def depth_colors(depth_m: npt.NDArray[np.float64], near_m: float, far_m: float) -> Picture:
    """Return a color for every depth, (P, 3) uint8, from warm to cold by the log of the depth.

    Args:
        depth_m: (P,) metres, above 0.
        near_m: depth of the first color, also for nearer points, metres.
        far_m: depth of the last color, also for farther points, metres.
    """
    span = max(np.log(far_m / near_m), 1e-9)
    position = np.clip(np.log(np.maximum(depth_m, 1e-9) / near_m) / span, 0, 1)
    stops = np.linspace(0, 1, len(_DEPTH_COLORS))
    channels = [np.interp(position, stops, channel) for channel in _DEPTH_COLORS.T]
    colors: Picture = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return colors


def with_class_legend(picture: Picture, entries: Sequence[tuple[str, Color]]) -> Picture:
    """Return the picture with a strip of class names and colors below it.

    Args:
        picture: (H, W, 3) uint8.
        entries: name and color of each class, in the order of the legend.
    """
    font, line, gap = _font(picture)
    rows: list[list[tuple[str, Color, float]]] = [[]]
    left = gap
    for name, color in entries:
        width = line + font.getlength(name) + gap
        if rows[-1] and left + width > picture.shape[1]:
            rows.append([])
            left = gap
        rows[-1].append((name, color, left))
        left += width
    strip, draw = _strip(picture, round(len(rows) * 1.5 * line + gap))
    for number, row in enumerate(rows):
        top = gap / 2 + number * 1.5 * line + 0.25 * line
        for name, color, left in row:
            box = (left, top + 0.1 * line, left + 0.7 * line, top + 0.8 * line)
            draw.rounded_rectangle(box, radius=0.18 * line, fill=color)
            draw.text((left + line, top + 0.45 * line), name, _TEXT_COLOR, font, anchor="lm")
    return np.concatenate([picture, np.asarray(strip)])


def with_depth_legend(picture: Picture, near_m: float, far_m: float) -> Picture:
    """Return the picture with a strip below it that shows the depth of each color.

    Args:
        picture: (H, W, 3) uint8.
        near_m: depth of the first color of `depth_colors`, metres.
        far_m: depth of the last color, metres.
    """
    font, line, gap = _font(picture)
    width, height = picture.shape[1], round(1.5 * line + gap)
    strip, draw = _strip(picture, height)
    near, far = f"{near_m:.3g} m", f"{far_m:.3g} m"
    left, right = gap, width - gap - font.getlength(far)
    draw.text((left, height / 2), near, _MUTED_COLOR, font, anchor="lm")
    draw.text((right, height / 2), far, _MUTED_COLOR, font, anchor="lm")
    # The bar takes what the two numbers leave; in a narrow picture that may be nothing.
    begin, end = round(left + font.getlength(near) + gap / 2), round(right - gap / 2)
    if end > begin:
        depths = np.geomspace(near_m, max(far_m, near_m * 1.001), end - begin)
        ramp = depth_colors(depths, near_m, far_m)
        thickness = max(round(0.4 * line), 1)
        bar = np.broadcast_to(ramp, (thickness, *ramp.shape))
        strip.paste(Image.fromarray(np.ascontiguousarray(bar)), (begin, (height - thickness) // 2))
    return np.concatenate([picture, np.asarray(strip)])


def contact_sheet(pictures: Sequence[Picture], *, columns: int, width: int = 1920) -> Picture:
    """Return one picture with several in rows, from left to right, each in a cell of equal size.

    Args:
        pictures: (H, W, 3) uint8 each, of any size.
        columns: number of pictures side by side.
        width: width of the sheet, pixels.
    """
    gap = max(width // 240, 2)
    cell_width = (width - gap * (columns + 1)) // columns
    sizes = [
        (cell_width, round(cell_width * picture.shape[0] / picture.shape[1]))
        for picture in pictures
    ]
    cell_height = max(height for _, height in sizes)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (width, rows * (cell_height + gap) + gap), _STRIP_COLOR)
    for number, (picture, size) in enumerate(zip(pictures, sizes, strict=True)):
        row, column = divmod(number, columns)
        small = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
        sheet.paste(small, (gap + column * (cell_width + gap), gap + row * (cell_height + gap)))
    return np.asarray(sheet)


def write_picture(picture: Picture, path: Path) -> None:
    """Write a picture as PNG or JPEG by the suffix of the file, completely or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    require_folder(path)
    image_format = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    with atomic_write(path) as part:
        Image.fromarray(picture).save(part, format=image_format, quality=_JPEG_QUALITY)


def _font(picture: Picture) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, int, float]:
    """Return font, line height and gap, in pixels, that suit the width of a picture."""
    line = max(round(picture.shape[1] / 70), 12)
    return ImageFont.load_default(round(0.8 * line)), line, 0.8 * line


def _strip(picture: Picture, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    strip = Image.new("RGB", (picture.shape[1], height), _STRIP_COLOR)
    return strip, ImageDraw.Draw(strip)
