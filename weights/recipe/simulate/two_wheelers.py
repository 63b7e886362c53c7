"""Bicycles and motorcycles without riders, standing along x."""

from weights.recipe.simulate.primitives import Point3, Rng, Soup, box, join, ring, tube


def bicycle(concept: str = "bicycle") -> Soup:
    """Return a bicycle standing along x."""
    wheels = [ring(concept, (x, 0, 0.34), 0.33, 0.025) for x in (0.52, -0.5)]
    joints: list[tuple[Point3, Point3]] = [
        ((-0.5, 0, 0.34), (0, 0, 0.3)),
        ((0, 0, 0.3), (-0.15, 0, 0.85)),
        ((-0.15, 0, 0.8), (0.38, 0, 0.85)),
        ((0, 0, 0.3), (0.4, 0, 0.75)),
        ((0.36, 0, 0.98), (0.52, 0, 0.34)),
        ((-0.5, 0, 0.34), (-0.13, 0, 0.75)),
        ((0.34, -0.28, 1.0), (0.34, 0.28, 1.0)),
    ]
    rods = [tube(concept, a, b, 0.02, sides=4) for a, b in joints]
    return join([*wheels, *rods, box(concept, (0.26, 0.14, 0.06), (-0.17, 0, 0.87))])


def motorcycle(rng: Rng, concept: str = "motorcycle") -> Soup:
    """Return a motorcycle or scooter standing along x."""
    base = float(rng.uniform(0.62, 0.75))
    parts = [
        tube(concept, (s * base, -0.07, 0.31), (s * base, 0.07, 0.31), 0.31, sides=10)
        for s in (-1, 1)
    ]
    parts += [
        box(concept, (0.75, 0.3, 0.4), (0.05, 0, 0.3)),
        box(concept, (0.5, 0.3, 0.25), (0.2, 0, 0.7), taper=(0.6, 0.7)),
        box(concept, (0.7, 0.28, 0.12), (-0.35, 0, 0.72)),
        tube(concept, (base, 0, 0.31), (0.4, 0, 1.0), 0.05),
        tube(concept, (0.4, -0.35, 1.02), (0.4, 0.35, 1.02), 0.02),
    ]
    if rng.random() < 0.4:
        parts.append(box(concept, (0.4, 0.4, 0.35), (-0.65, 0, 0.85)))
    return join(parts)
