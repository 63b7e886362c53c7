"""A street scene while it is being built: bodies set on the plan's ground."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate import plants
from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.furniture_street import FURNITURE
from weights.recipe.simulate.layout import Patch, Plan
from weights.recipe.simulate.meshes import Model, pick
from weights.recipe.simulate.primitives import Rng, Soup, join
from weights.recipe.simulate.vehicles import draw_vehicle


class Stage:
    """Collects bodies on a plan; ``ego`` (s, t) is where the sensor will stand."""

    def __init__(
        self,
        plan: Plan,
        ego: tuple[float, float],
        rng: Rng,
        found: Mapping[str, Model] | None = None,
    ) -> None:
        self.plan = plan
        self._found = found or {}
        # What is seen from afar needs fewer leaves.
        self._leaves = 3400 if found is not None else 2000
        self.ego = ego
        self.rng = rng
        self._bodies: list[Soup] = []
        self._patches: list[Patch] = []
        self._trees: list[tuple[Soup, float]] = []

    def place(
        self, body: Soup, s: float, t: float, angle: float = 0.0, *, lift: float = 0.0
    ) -> None:
        """Set a body on the ground at (s, t), turned by ``angle`` from the road's direction."""
        if self._flooded(s, t) or not self.clear_of_ego(s, t, 1.8):
            return
        x, y, z = self.plan.ground_at(s, t)
        self._bodies.append(body.moved((x, y, z + lift), angle + self.plan.heading(s)))

    def _flooded(self, s: float, t: float) -> bool:
        for patch in self._patches:
            s0, s1, t0, t1 = patch.span
            near = s0 - 5 < s < s1 + 5 and t0 < t < t1
            if patch.concept == "water" and near and not self.on_road(s, t, 1.5):
                return True
        return False

    def add(self, body: Soup) -> None:
        """Add a body that is already in world coordinates."""
        self._bodies.append(body)

    def model(self, concept: str) -> Soup | None:
        """Return a ready-made model of a concept, at a slightly different size each time."""
        body = pick(self._found, concept, self.rng)
        return body.moved(scale=float(self.rng.uniform(0.92, 1.08))) if body else None

    def vehicle(self, *, parked: bool) -> Soup:
        """Return a vehicle: mostly made from measures, at times a model."""
        if self.rng.random() < 0.22:
            names = ["car"] * 7 + ["pickup truck", "van", "truck", "bus"]
            body = self.model(str(self.rng.choice(names)))
            if body is not None:
                return body
        return draw_vehicle(self.rng, parked=parked)

    def thing(self, kind: str) -> Soup:
        """Return a piece of street furniture: mostly made from measures, at times a model."""
        names = {"sign": "traffic sign", "cone": "traffic cone", "hydrant": "fire hydrant"}
        body = self.model(names.get(kind, kind)) if self.rng.random() < 0.3 else None
        return body if body is not None else FURNITURE[kind](self.rng)

    def patch(self, span: tuple[float, float, float, float], concept: str) -> None:
        """Cover a rectangle of the plan with another surface."""
        self._patches.append(Patch(span, concept))

    def clear_of_ego(self, s: float, t: float, metres: float) -> bool:
        """Return whether a body at (s, t) leaves the sensor its own space."""
        return bool(np.hypot(s - self.ego[0], t - self.ego[1]) > metres)

    def on_road(self, s: float, t: float, margin: float = 0.0) -> bool:
        """Return whether (s, t) lies on a road or within ``margin`` metres of one."""
        return bool(self.plan.distance(np.array([s]), np.array([t]))[0] < margin)

    def tree(self, s: float, t: float, tall: float) -> None:
        """Plant one of the scene's few kinds of tree at about ``tall`` metres."""
        if self._flooded(s, t) or not self.clear_of_ego(s, t, 2.2):
            return
        if len(self._trees) < 9:
            self._trees.append((plants.draw_tree(self.rng, tall, self._leaves), tall))
        fit = sorted(self._trees, key=lambda kind: abs(kind[1] - tall))[:4]
        body, own = fit[int(self.rng.integers(len(fit)))]
        scale = float(np.clip(tall / own, 0.6, 1.6) * self.rng.uniform(0.85, 1.15))
        x, y, z = self.plan.ground_at(s, t)
        self._bodies.append(body.moved((x, y, z), float(self.rng.uniform(0, 6.28)), scale))

    def grass(self, long: float, count: int) -> None:
        """Let blades ``long`` metres tall stand where the ground near the sensor is grass."""
        near = self.rng.normal(0, 11, (count, 2)) + np.asarray(self.ego)
        plan = self.full_plan()
        label, rise = plan.surface(near[:, 0], near[:, 1])
        green = label == concept_index("grass")
        s, t = near[green, 0], near[green, 1]
        # Grass grows in tufts: long here, short there.
        tuft = 0.65 + 0.35 * np.sin(0.9 * s + 1.3 * np.sin(0.7 * t))
        y = t + plan.sway_at(s)
        feet = np.stack([s, y, plan.relief.hills(s, y) + rise[green] - 0.02], axis=1)
        tall = self.rng.random(len(feet)) < tuft
        self._bodies.append(plants.grass_blades(self.rng, feet[tall], long))

    def full_plan(self) -> Plan:
        """Return the plan with the patches laid so far."""
        # Water and bridges go over whatever a block is covered with.
        last = {"water": 1, "bridge": 2}
        ordered = sorted(self._patches, key=lambda patch: last.get(patch.concept, 0))
        return replace(self.plan, patches=tuple(ordered))

    def finish(self) -> Soup:
        """Return ground and bodies as one soup."""
        return join([self.full_plan().mesh(self.rng), *self._bodies])

    def body_of_triangle(self, scene: Soup) -> NDArray[np.int64]:
        """Return (T,) which body every triangle of the finished scene is of; 0 is the ground."""
        sizes = [len(body.label) for body in self._bodies]
        ground = len(scene.label) - sum(sizes)
        return np.repeat(np.arange(len(sizes) + 1), [ground, *sizes])


def along(rng: Rng, step: float, far: float = 100.0) -> NDArray[np.float64]:
    """Return places about ``step`` metres apart from −far to far, with jitter."""
    places = np.arange(-far, far, step)
    return np.asarray(places + rng.uniform(0, step * 0.5, len(places)))
