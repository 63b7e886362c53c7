"""Beds with mattress, frame, headboard, blanket and pillows, each with its own label.

A bed stands on z = 0 with its head towards −x.
"""

import numpy as np

from weights.recipe.simulate.finishes import draw_finish
from weights.recipe.simulate.primitives import Mesh, Rng, box, box_between, loft, merge, tube
from weights.recipe.simulate.seating import cushion, leaning_pillow, legs, pillow


def _between(rng: Rng, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def bed(rng: Rng) -> Mesh:
    """Return a single or double bed, made or unmade."""
    width = float(rng.choice([0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0]))
    length, height = _between(rng, 1.9, 2.15), _between(rng, 0.38, 0.66)
    frame = draw_finish(rng, "wood", "wood", "upholstery", "steel")
    thickness = _between(rng, 0.15, 0.28)
    parts = [_frame(rng, (length, width, height - thickness)).made_of(*frame)]
    sheet = draw_finish(rng, "linen")
    mattress = cushion("bed", (length * 0.98, width * 0.98, thickness), (0, 0, height - thickness))
    parts.append(sheet.on(mattress))
    if rng.random() < 0.75:
        parts.append(_headboard(rng, width, length, height).made_of(*frame))
    if rng.random() < 0.25:
        foot = box(
            "bed", (0.05, width + 0.06, height + _between(rng, 0.0, 0.3)), (length / 2 + 0.02, 0, 0)
        )
        parts.append(frame.on(foot))
    parts += _pillows(rng, width, length, height)
    if rng.random() < 0.92:
        parts.append(_blanket(rng, width, length, height))
    return merge(parts)


def _frame(rng: Rng, size: tuple[float, float, float]) -> Mesh:
    """Return what carries the mattress: a box, a box with drawers, or slats on legs."""
    length, width, height = size
    kind = str(rng.choice(["box", "legs", "drawers"]))
    if kind == "legs" and height > 0.15:
        rail = min(0.14, height - 0.05)
        return merge(
            [
                box("bed", (length, width, rail), (0, 0, height - rail)),
                *legs("bed", width, length, height, 0.06),
            ]
        )
    parts = [box("bed", (length, width, max(height - 0.03, 0.05)), (0, 0, 0.03))]
    if kind == "drawers":
        for side in (-1, 1):
            for x in (-length / 4, length / 4):
                spot = (x, side * (width / 2 + 0.01), 0.06)
                parts.append(box("bed", (length / 2 - 0.08, 0.02, max(height - 0.1, 0.03)), spot))
    return merge(parts)


def _headboard(rng: Rng, width: float, length: float, height: float) -> Mesh:
    """Return a headboard: a panel, bars, or a padded one."""
    top, x = height + _between(rng, 0.25, 0.75), -length / 2
    wide = width + _between(rng, 0.0, 0.12)
    kind = str(rng.choice(["panel", "bars", "padded"]))
    if kind == "bars":
        posts = [
            tube("bed", (x - 0.03, y, 0), (x - 0.03, y, top), 0.025) for y in (-wide / 2, wide / 2)
        ]
        bars = [
            tube(
                "bed", (x - 0.03, float(y), height - 0.1), (x - 0.03, float(y), top), 0.01, sides=4
            )
            for y in np.linspace(-wide / 2, wide / 2, int(rng.integers(5, 12)))[1:-1]
        ]
        return merge(
            [
                *posts,
                *bars,
                box_between("bed", (x - 0.05, -wide / 2, top - 0.05), (x - 0.01, wide / 2, top)),
            ]
        )
    thickness = 0.1 if kind == "padded" else 0.04
    return box_between("bed", (x - thickness, -wide / 2, 0.1), (x, wide / 2, top))


def _pillows(rng: Rng, width: float, length: float, height: float) -> list[Mesh]:
    """Return one to six pillows at the head, flat or leaning."""
    count = 1 if width < 1.3 else 2
    parts = []
    for row in range(int(rng.choice([1, 1, 2, 3]))):
        for k in range(count):
            y = (k - (count - 1) / 2) * width / count + float(rng.normal(0, 0.04))
            x = -length / 2 + 0.05 + row * _between(rng, 0.12, 0.22)
            if rng.random() < 0.5 or row:
                placed = leaning_pillow(rng).moved((x, y, height), float(rng.normal(0, 0.12)))
            else:
                placed = pillow(rng).moved((x + 0.22, y, height), float(rng.normal(0, 0.15)))
            parts.append(placed)
    return parts


def _blanket(rng: Rng, width: float, length: float, height: float) -> Mesh:
    """Return a blanket that covers part of the bed and hangs over its sides."""
    start = -length / 2 + _between(rng, 0.35, 0.9)
    is_unmade = rng.random() < 0.4
    if is_unmade:
        start += _between(rng, 0.0, 0.6)
    overhang = _between(rng, 0.0, 0.3)
    end = length / 2 + (_between(rng, 0.02, 0.08) if rng.random() < 0.6 else -_between(rng, 0, 0.3))
    u, v = np.meshgrid(np.linspace(0, 1, 20), np.linspace(-1, 1, 22), indexing="ij")
    x = start + u * (end - start)
    # v beyond ±0.8 hangs down the sides.
    inner = np.clip(v / 0.8, -1, 1)
    y = inner * (width / 2 + 0.02) + np.sign(v) * np.clip(np.abs(v) - 0.8, 0, None) * 0.06
    drop = np.clip(np.abs(v) - 0.8, 0, None) / 0.2 * overhang
    rough = _between(rng, 0.02, 0.06) if is_unmade else _between(rng, 0.003, 0.015)
    z = height + 0.035 - drop
    for _ in range(5):
        a, b = rng.normal(0, 6, 2)
        z = z + rough * np.sin(a * u + b * v * width + float(rng.uniform(0, 6))) / 2
    if is_unmade:
        x = x + 0.15 * np.sin(v * 2.5 + float(rng.uniform(0, 6)))
        z = z + np.exp(-((u - 0.1) ** 2) / 0.02) * _between(rng, 0.04, 0.14)
    z = np.maximum(z, height * 0.25)
    finish = draw_finish(rng, "linen", "upholstery")
    parts = [finish.on(loft("blanket", np.stack([x, y, z], axis=-1), closed=False))]
    if rng.random() < 0.35 and not is_unmade:
        # A second blanket folded over the foot.
        rows = (u > 0.72)[:, 0]
        second = np.stack([x, y, z + 0.03], axis=-1)[rows]
        parts.append(draw_finish(rng, "linen").on(loft("blanket", second, closed=False)))
    return merge(parts)


def bunk_bed(rng: Rng) -> Mesh:
    """Return two beds above each other, with a ladder."""
    concept, width, length = "bunk bed", _between(rng, 0.85, 1.05), _between(rng, 1.95, 2.1)
    frame = draw_finish(rng, "wood", "steel")
    lower, upper, top = _between(rng, 0.3, 0.45), _between(rng, 1.25, 1.5), _between(rng, 1.6, 1.85)
    parts = [frame.on(*legs(concept, width + 0.08, length + 0.08, top, 0.06))]
    for height in (lower, upper):
        parts.append(frame.on(box(concept, (length, width, 0.1), (0, 0, height - 0.1))))
        sheet = draw_finish(rng, "linen")
        parts.append(
            sheet.on(cushion(concept, (length * 0.97, width * 0.95, 0.15), (0, 0, height)))
        )
        parts.append(pillow(rng).moved((-length / 2 + 0.28, 0, height + 0.15)))
        cover = box(
            "blanket", (length * 0.6, width * 0.98, 0.05), (length * 0.17, 0, height + 0.13)
        )
        parts.append(draw_finish(rng, "linen").on(cover))
    for z in (upper + 0.22, upper + 0.34):
        parts.append(
            frame.on(box(concept, (length * 0.6, 0.03, 0.05), (-length * 0.15, width / 2, z)))
        )
    side = width / 2 + 0.05
    for x in (length * 0.28, length * 0.45):
        parts.append(frame.on(tube(concept, (x, side + 0.15, 0), (x, side, top), 0.02, sides=5)))
    for z in np.arange(0.3, upper, 0.28):
        start = (length * 0.28, side + 0.15 * (1 - float(z) / top), float(z))
        end = (length * 0.45, start[1], float(z))
        parts.append(frame.on(tube(concept, start, end, 0.015, sides=5)))
    return merge(parts)
