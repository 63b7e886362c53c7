"""Points drawn on the photo that sees them: the picture that tells whether poses are right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from clip3d_cli.formats.atomic import atomic_write, require_folder

Picture = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

# From near to far: warm stands out, cold steps back.
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
_LEFT, _GREY = 0.62, 0.5
_RIM_PX, _RIM = 1.0, 0.6
_PIXELS_PER_RADIUS = 1000
_STRIP, _INK, _MUTED = (18, 20, 24), (236, 238, 242), (150, 156, 166)
_JPEG_QUALITY = 90


def overlay(
    image: Picture,
    uv: npt.NDArray[np.float64],
    colors: Picture,
    depth_m: npt.NDArray[np.float64],
    *,
    radius_px: float | None = None,
) -> Picture:
    """(H, W, 3) uint8: the photo, darkened, with a dot for every point, near ones on top.

    Args:
        image: (H, W, 3) uint8 RGB.
        uv: (P, 2) float64, px to the right and down; (0, 0) is the middle of the upper left
            pixel.
        colors: (P, 3) uint8 RGB.
        depth_m: (P,) float64, metres.
        radius_px: of a dot; by default it grows with the image.
    """
    height, width = image.shape[:2]
    radius = radius_px or max(width / _PIXELS_PER_RADIUS, 1.0)
    grey = image.mean(axis=2, keepdims=True)
    canvas = _LEFT * (_GREY * grey + (1 - _GREY) * image)
    point, row, column, away = _stamps(uv, depth_m, radius, (height, width))
    nearest = np.full((height, width), -1, dtype=np.int64)
    distance = np.full((height, width), np.inf)
    # Of values for one pixel numpy keeps the last: the point that is nearest to the camera.
    nearest[row, column] = point
    distance[row, column] = away
    drawn = nearest >= 0
    inner = np.clip(radius + 0.5 - distance[drawn], 0, 1)[:, None]
    rim = np.clip(radius + _RIM_PX + 0.5 - distance[drawn], 0, 1)[:, None]
    ground = canvas[drawn] * (1 - _RIM * rim)
    canvas[drawn] = ground * (1 - inner) + colors[nearest[drawn]] * inner
    picture: Picture = np.rint(canvas).astype(np.uint8)
    return picture


def _stamps(
    uv: npt.NDArray[np.float64],
    depth_m: npt.NDArray[np.float64],
    radius: float,
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.int64], ...]:
    """Point, row, column and distance of every pixel that a dot may cover, far dots first.

    Rims come before all dots: a dot is never cut by its neighbour's rim.
    """
    order = np.argsort(-depth_m, kind="stable")
    centers = uv[order]
    reach = int(np.ceil(radius + _RIM_PX + 0.5))
    side = np.arange(-reach, reach + 1)
    steps = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    pixels = np.rint(centers).astype(np.int64)[:, None] + steps
    away = np.linalg.norm(pixels - centers[:, None], axis=2).ravel()
    column, row = pixels.reshape(-1, 2).T
    point = np.repeat(order, len(steps))
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    rims = np.flatnonzero(inside & (away >= radius + 0.5) & (away < radius + _RIM_PX + 0.5))
    dots = np.flatnonzero(inside & (away < radius + 0.5))
    kept = np.concatenate([rims, dots])
    return point[kept], row[kept], column[kept], away[kept]


def depth_colors(depth_m: npt.NDArray[np.float64], least_m: float, most_m: float) -> Picture:
    """(P, 3) uint8: a color for every depth, warm near and cold far, even steps of its logarithm.

    Args:
        depth_m: (P,) metres, above 0.
        least_m: what gets the first color; below it nothing changes.
        most_m: what gets the last.
    """
    span = max(np.log(most_m / least_m), 1e-9)
    place = np.clip(np.log(np.maximum(depth_m, 1e-9) / least_m) / span, 0, 1)
    stops = np.linspace(0, 1, len(_DEPTH_COLORS))
    channels = [np.interp(place, stops, channel) for channel in _DEPTH_COLORS.T]
    colors: Picture = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return colors


def with_class_legend(picture: Picture, entries: Sequence[tuple[str, Color]]) -> Picture:
    """The picture above a strip that names colors.

    Args:
        picture: (H, W, 3) uint8.
        entries: name and color of each, in the order in which they are shown.
    """
    font, line, gap = _type(picture)
    rows: list[list[tuple[str, Color, float]]] = [[]]
    left = gap
    for name, color in entries:
        wide = line + font.getlength(name) + gap
        if rows[-1] and left + wide > picture.shape[1]:
            rows.append([])
            left = gap
        rows[-1].append((name, color, left))
        left += wide
    strip, draw = _strip(picture, round(len(rows) * 1.5 * line + gap))
    for number, row in enumerate(rows):
        top = gap / 2 + number * 1.5 * line + 0.25 * line
        for name, color, left in row:
            box = (left, top + 0.1 * line, left + 0.7 * line, top + 0.8 * line)
            draw.rounded_rectangle(box, radius=0.18 * line, fill=color)
            draw.text((left + line, top + 0.45 * line), name, _INK, font, anchor="lm")
    return np.concatenate([picture, np.asarray(strip)])


def with_depth_legend(picture: Picture, least_m: float, most_m: float) -> Picture:
    """The picture above a strip that shows which color of `depth_colors` is how far away."""
    font, line, gap = _type(picture)
    width, height = picture.shape[1], round(1.5 * line + gap)
    strip, draw = _strip(picture, height)
    first, last = f"{least_m:.3g} m", f"{most_m:.3g} m"
    left, right = gap, width - gap - font.getlength(last)
    draw.text((left, height / 2), first, _MUTED, font, anchor="lm")
    draw.text((right, height / 2), last, _MUTED, font, anchor="lm")
    begin, end = round(left + font.getlength(first) + gap / 2), round(right - gap / 2)
    if end > begin:
        depths = np.geomspace(least_m, max(most_m, least_m * 1.001), end - begin)
        ramp = depth_colors(depths, least_m, most_m)
        thick = max(round(0.4 * line), 1)
        bar = Image.fromarray(np.ascontiguousarray(np.broadcast_to(ramp, (thick, *ramp.shape))))
        strip.paste(bar, (begin, (height - thick) // 2))
    return np.concatenate([picture, np.asarray(strip)])


def contact_sheet(pictures: Sequence[Picture], *, columns: int, width: int = 1920) -> Picture:
    """One picture of several, in rows from the left, each in a place of the same size.

    Args:
        pictures: (H, W, 3) uint8 each, of any size.
        columns: pictures side by side.
        width: of the sheet, px.
    """
    gap = max(width // 240, 2)
    wide = (width - gap * (columns + 1)) // columns
    sizes = [(wide, round(wide * picture.shape[0] / picture.shape[1])) for picture in pictures]
    tall = max(high for _, high in sizes)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (width, rows * (tall + gap) + gap), _STRIP)
    for number, (picture, size) in enumerate(zip(pictures, sizes, strict=True)):
        row, column = divmod(number, columns)
        small = Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)
        sheet.paste(small, (gap + column * (wide + gap), gap + row * (tall + gap)))
    return np.asarray(sheet)


def write_picture(picture: Picture, path: Path) -> None:
    """Store a picture as JPEG or PNG, by the file's suffix; complete or not at all.

    Raises:
        OutputError: it cannot be written there.
    """
    require_folder(path)
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    with atomic_write(path) as part:
        Image.fromarray(picture).save(part, format=kind, quality=_JPEG_QUALITY)


def _type(picture: Picture) -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, int, float]:
    """Font, height of a line and gap that suit a picture's width."""
    line = max(round(picture.shape[1] / 70), 12)
    return ImageFont.load_default(round(0.8 * line)), line, 0.8 * line


def _strip(picture: Picture, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    strip = Image.new("RGB", (picture.shape[1], height), _STRIP)
    return strip, ImageDraw.Draw(strip)
