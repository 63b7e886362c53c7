"""What stands beside trails: trees, bushes, tall grass, rocks, logs, puddles, fences and huts."""

import numpy as np

from weights.recipe.simulate import barriers, gardens, vegetation
from weights.recipe.simulate.buildings import street_building
from weights.recipe.simulate.primitives import Mesh, Rng, tube
from weights.recipe.simulate.scene_builder import SceneBuilder
from weights.recipe.simulate.vehicles import golf_cart, tractor


def add_wilderness(builder: SceneBuilder) -> None:
    """Add plants, rocks, logs, puddles and a few structures to the sides of a trail."""
    rng, plan = builder.rng, builder.plan
    density = float(rng.choice([0.1, 0.4, 1.0]))
    for _ in range(int(rng.uniform(5, 130) * density)):
        s, t = float(rng.uniform(-70, 70)), _beside(rng, plan.half_width, 2.0, 9.0)
        builder.plant_tree(s, t, float(rng.uniform(2.5, 15)))
    for _ in range(int(rng.uniform(10, 90))):
        s, t = float(rng.normal(builder.sensor[0], 25)), _beside(rng, plan.half_width, 1.5, 5.0)
        builder.plant_bush(s, t, float(rng.uniform(0.6, 4.0)))
    for _ in range(int(rng.poisson(9))):
        s, t = float(rng.normal(builder.sensor[0], 15)), _beside(rng, plan.half_width, 1.5, 4.0)
        mesh = _small_thing(builder)
        builder.place(mesh, s, t, float(rng.uniform(0, 6)))
    _add_ground_plants(builder)
    _add_puddles(builder)
    _add_structures(builder)


def _beside(rng: Rng, half_width: float, shape: float, scale: float) -> float:
    """Return t of a place on either side of the trail, ever rarer with the distance from it."""
    return float(rng.choice([-1, 1])) * (half_width + float(rng.gamma(shape, scale)) + 0.8)


def _small_thing(builder: SceneBuilder) -> Mesh:
    """Return a rock, a log, a stump, branches or a dead tree."""
    rng = builder.rng
    draw = rng.random()
    if draw < 0.3:
        ready_made = builder.draw_ready_made("rock") if rng.random() < 0.5 else None
        return ready_made or vegetation.rock(rng, float(rng.uniform(0.3, 1.6)))
    if draw < 0.5:
        ready_made = builder.draw_ready_made("log") if rng.random() < 0.3 else None
        return ready_made or vegetation.log(rng)
    if draw < 0.62:
        ready_made = builder.draw_ready_made("tree stump") if rng.random() < 0.5 else None
        return ready_made or vegetation.stump(rng)
    if draw < 0.78:
        return vegetation.branches(rng)
    if draw < 0.88:
        return vegetation.dead_tree(rng, float(rng.uniform(2, 9)))
    concept = str(rng.choice(["cactus", "fern", "bamboo", "fern"]))
    return builder.draw_ready_made(concept) or vegetation.fern(rng, float(rng.uniform(0.4, 1.2)))


def _add_ground_plants(builder: SceneBuilder) -> None:
    """Add patches of high weeds, reed, corn or crop beside the trail."""
    rng, plan = builder.rng, builder.plan
    concept = str(rng.choice(["low vegetation", "low vegetation", "reed", "corn", "crop", "fern"]))
    for _ in range(int(rng.poisson(6))):
        s = float(rng.normal(builder.sensor[0], 18))
        t = _beside(rng, plan.half_width, 1.3, 4.0)
        size = (float(rng.uniform(1.5, 9)), float(rng.uniform(1.5, 6)))
        height = {"corn": 2.2, "reed": 1.8, "crop": 0.9}.get(concept, float(rng.uniform(0.4, 1.3)))
        builder.place(vegetation.stand_of_stalks(rng, concept, size, height), s, t)


def _add_puddles(builder: SceneBuilder) -> None:
    """Cover parts of the trail and its sides with mud, puddles or sand."""
    rng, plan = builder.rng, builder.plan
    if rng.random() < 0.5:
        return
    for _ in range(int(rng.integers(1, 7))):
        s = float(rng.normal(builder.sensor[0], 12))
        t = float(rng.normal(0, plan.half_width * 0.7))
        concept = str(rng.choice(["puddle", "mud", "mud", "puddle", "sand", "gravel"]))
        half_s, half_t = float(rng.uniform(0.4, 3.5)), float(rng.uniform(0.3, 1.2))
        builder.cover((s - half_s, s + half_s, t - half_t, t + half_t), concept)


def _add_structures(builder: SceneBuilder) -> None:
    """Add fences, barriers, huts, hay, poles and machines, each with some probability."""
    rng = builder.rng
    makers = (
        (_add_fence, 0.45),
        (_add_hut, 0.4),
        (_add_stacks, 0.3),
        (_add_poles, 0.25),
        (_add_machine, 0.15),
    )
    for add, probability in makers:
        if rng.random() < probability:
            add(builder)


def _add_fence(builder: SceneBuilder) -> None:
    """Add a long fence or a few barriers."""
    rng, s, half = builder.rng, builder.sensor[0], builder.plan.half_width
    if rng.random() < 0.7:
        t = float(rng.choice([-1, 1])) * (half + float(rng.uniform(1.5, 7)))
        builder.place(barriers.fence(rng, 40.0), s, t)
        return
    for k in range(5):
        builder.place(barriers.road_barrier(rng), s + 6 + 3.1 * k, half + 2)


def _add_hut(builder: SceneBuilder) -> None:
    """Add a hut, a hall, or a ready-made building of farms."""
    rng, half = builder.rng, builder.plan.half_width
    s = builder.sensor[0] + float(rng.uniform(-35, 35))
    concept = str(rng.choice(["barn", "silo", "windmill", "well"]))
    ready_made = builder.draw_ready_made(concept) if rng.random() < 0.35 else None
    kind = str(rng.choice(["shed", "hall"]))
    mesh = ready_made or street_building(rng, kind, 12.0, detail=False)
    builder.place(mesh, s, half + 18)


def _add_stacks(builder: SceneBuilder) -> None:
    """Add bales, woodpiles or tables."""
    rng = builder.rng
    for _ in range(int(rng.integers(1, 5))):
        s = float(rng.normal(builder.sensor[0], 20))
        piece = str(rng.choice(["hay bale", "woodpile", "picnic table"]))
        mesh = gardens.hay_bale(rng) if piece == "hay bale" else gardens.GARDEN_PIECES[piece](rng)
        t = _beside(rng, builder.plan.half_width, 1.5, 6.0)
        builder.place(mesh, s, t, float(rng.uniform(0, 6)))


def _add_poles(builder: SceneBuilder) -> None:
    """Add a row of wooden poles."""
    rng = builder.rng
    height = float(rng.uniform(6, 9))
    pole = tube("pole", (0, 0, 0), (0, 0, height), 0.13).made_of("wood")
    t = float(rng.choice([-1, 1])) * (builder.plan.half_width + 3)
    for s in np.arange(-90, 91, float(rng.uniform(25, 50))):
        builder.place(pole, float(s), t)


def _add_machine(builder: SceneBuilder) -> None:
    """Add a tractor, a quad bike or a golf cart on the trail."""
    rng = builder.rng
    machine = tractor(rng) if rng.random() < 0.6 else golf_cart(rng)
    s = builder.sensor[0] + float(rng.choice([-1, 1])) * float(rng.uniform(8, 30))
    builder.place(machine, s, float(rng.normal(0, 1.5)), float(rng.choice([0, np.pi])))
