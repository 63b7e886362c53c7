"""An outdoor scene under construction: objects placed on the ground of a plan."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.concepts import concept_index
from weights.recipe.simulate.ground_plan import GroundPlan, Patch
from weights.recipe.simulate.mesh_catalogue import Catalogue, draw_from_catalogue
from weights.recipe.simulate.people import person
from weights.recipe.simulate.primitives import Mesh, Rng, merge
from weights.recipe.simulate.street_furniture import STREET_FURNITURE
from weights.recipe.simulate.vegetation import bush, draw_tree, grass_blades
from weights.recipe.simulate.vehicles import draw_vehicle

# A scene has at most this many different trees and reuses them: generating a tree is slow.
_DIFFERENT_TREES = 9
_DIFFERENT_BUSHES = 12


class SceneBuilder:
    """Collects the objects and surfaces of a scene.

    Attributes:
        plan: the ground plan, without the patches added here; see `full_plan`.
        sensor: (s, t) in metres where the sensor will stand; objects keep away from it.
        rng: random generator of the scene.
        catalogue: ready-made meshes.
    """

    def __init__(
        self,
        plan: GroundPlan,
        sensor: tuple[float, float],
        rng: Rng,
        catalogue: Catalogue | None = None,
    ) -> None:
        """Start with an empty scene.

        Args:
            plan: the ground plan.
            sensor: (s, t) of the sensor in metres.
            rng: random generator of the scene.
            catalogue: ready-made meshes; None for a scene that is seen from the air.
        """
        self.plan = plan
        self.sensor = sensor
        self.rng = rng
        self.catalogue = catalogue or Catalogue()
        # Fewer leaves suffice where trees are seen from far away.
        self._leaves_per_tree = 3400 if catalogue is not None else 2000
        self._objects: list[Mesh] = []
        self._patches: list[Patch] = []
        self._trees: list[tuple[Mesh, float]] = []
        self._bushes: list[tuple[Mesh, float]] = []

    def place(
        self, mesh: Mesh, s: float, t: float, angle: float = 0.0, *, lift: float = 0.0
    ) -> None:
        """Place an object on the ground, unless water or the sensor is there.

        Args:
            mesh: the object in its own frame.
            s: metres along the main road.
            t: metres to the left of it.
            angle: yaw in radians relative to the direction of the main road.
            lift: height above the ground in metres.
        """
        size_m = float(np.abs(mesh.triangles[..., :2]).max()) if self.plan.waters else 0.0
        if self._is_flooded(s, t, size_m) or not self.is_clear_of_sensor(s, t, 1.8):
            return
        x, y, z = self.plan.world_point(s, t)
        painted = mesh.painted(self.rng)
        self._objects.append(painted.moved((x, y, z + lift), angle + self.plan.heading(s)))

    def _is_flooded(self, s: float, t: float, size_m: float) -> bool:
        """Return whether an object of this size would stand in water; bridges keep small ones."""
        if not self.plan.waters:
            return False
        is_on_bridge = size_m < 9 and self.is_on_road(s, t, self.plan.deck_m)
        return self.plan.water_distance(s, t) < 0.3 + 0.75 * size_m and not is_on_bridge

    def add(self, mesh: Mesh) -> None:
        """Add an object that is already in world coordinates."""
        self._objects.append(mesh.painted(self.rng))

    def draw_ready_made(self, concept: str) -> Mesh | None:
        """Return a mesh of the catalogue, scaled by up to 8 %, or None if there is none."""
        mesh = draw_from_catalogue(self.catalogue, concept, self.rng)
        return mesh.moved(scale=float(self.rng.uniform(0.92, 1.08))) if mesh else None

    def draw_vehicle(self, *, parked: bool) -> Mesh:
        """Return a random vehicle: about two fifths from the catalogue, the others generated."""
        if self.rng.random() < 0.4:
            concepts = ["car"] * 9 + ["taxi", "police car", "pickup truck", "van", "van"]
            concepts += ["truck", "truck", "bus", "bus", "ambulance"]
            mesh = self.draw_ready_made(str(self.rng.choice(concepts)))
            if mesh is not None:
                return mesh
        return draw_vehicle(self.rng, parked=parked)

    def draw_person(self) -> Mesh:
        """Return a person on foot: half of them from the catalogue, the others generated."""
        if self.rng.random() < 0.5:
            beginning = str(self.rng.choice(["sh_standing", "qp_standing"]))
            mesh = draw_from_catalogue(self.catalogue, "person", self.rng, beginning)
            if mesh is not None:
                return mesh.moved(scale=float(self.rng.uniform(0.9, 1.08)))
        return person(self.rng)

    def draw_furniture(self, name: str) -> Mesh:
        """Return a key of `STREET_FURNITURE`: three in ten from the catalogue, else generated."""
        mesh = self.draw_ready_made(name) if self.rng.random() < 0.3 else None
        return mesh if mesh is not None else STREET_FURNITURE[name](self.rng)

    def cover(self, bounds: tuple[float, float, float, float], concept: str) -> None:
        """Cover the rectangle (s0, s1, t0, t1) of the plan with another surface."""
        self._patches.append(Patch(bounds, concept))

    def is_clear_of_sensor(self, s: float, t: float, distance: float) -> bool:
        """Return whether (s, t) is more than ``distance`` metres from the sensor."""
        return bool(np.hypot(s - self.sensor[0], t - self.sensor[1]) > distance)

    def is_on_road(self, s: float, t: float, margin: float = 0.0) -> bool:
        """Return whether (s, t) is on a road or less than ``margin`` metres from one."""
        return bool(self.plan.road_distance(np.array([s]), np.array([t]))[0] < margin)

    def plant_tree(self, s: float, t: float, height: float) -> None:
        """Place a tree of about ``height`` metres, unless water or the sensor is there."""
        if self._is_flooded(s, t, 0.3) or not self.is_clear_of_sensor(s, t, 2.2):
            return
        if len(self._trees) < _DIFFERENT_TREES:
            ready_made = self.draw_ready_made("tree crown") if self.rng.random() < 0.15 else None
            if ready_made is not None:
                own_height = float(ready_made.triangles[..., 2].max())
                tree = ready_made.moved(scale=height / own_height)
            else:
                tree = draw_tree(self.rng, height, self._leaves_per_tree).painted(self.rng)
            self._trees.append((tree, height))
        # One of the four whose height is nearest, scaled to fit.
        nearest = sorted(self._trees, key=lambda tree: abs(tree[1] - height))[:4]
        mesh, own_height = nearest[int(self.rng.integers(len(nearest)))]
        scale = float(np.clip(height / own_height, 0.6, 1.6) * self.rng.uniform(0.85, 1.15))
        x, y, z = self.plan.world_point(s, t)
        self._objects.append(mesh.moved((x, y, z), float(self.rng.uniform(0, 6.28)), scale))

    def plant_bush(self, s: float, t: float, width: float) -> None:
        """Place a bush of about ``width`` metres, unless water or the sensor is there."""
        if self._is_flooded(s, t, 0.5) or not self.is_clear_of_sensor(s, t, 1.3 + width / 2):
            return
        if len(self._bushes) < _DIFFERENT_BUSHES:
            ready_made = self.draw_ready_made("bush") if self.rng.random() < 0.1 else None
            if ready_made is not None:
                own_width = float(np.ptp(ready_made.triangles[..., 0]))
                self._bushes.append((ready_made.painted(self.rng), own_width))
            else:
                self._bushes.append((bush(self.rng, width).painted(self.rng), width))
        nearest = sorted(self._bushes, key=lambda each: abs(each[1] - width))[:3]
        mesh, own_width = nearest[int(self.rng.integers(len(nearest)))]
        scale = float(np.clip(width / own_width, 0.5, 2.0))
        # Bushes of one width are of different heights.
        upright = np.diag([1.0, 1.0, float(self.rng.uniform(0.7, 1.7))])
        x, y, z = self.plan.world_point(s, t)
        turned = mesh.transformed(upright).moved((x, y, z), float(self.rng.uniform(0, 6.28)), scale)
        self._objects.append(turned)

    def grow_grass(self, length: float, count: int) -> None:
        """Add blades of grass near the sensor, where the ground is grass.

        Args:
            length: length of the blades in metres.
            count: number of places that are tried, normally distributed around the sensor.
        """
        places = self.rng.normal(0, 11, (count, 2)) + np.asarray(self.sensor)
        plan = self.full_plan()
        label, rise = plan.surface_at(places[:, 0], places[:, 1])
        green = label == concept_index("grass")
        s, t = places[green, 0], places[green, 1]
        # Grass grows in tufts: `density` varies over a few metres.
        density = 0.65 + 0.35 * np.sin(0.9 * s + 1.3 * np.sin(0.7 * t))
        y = t + plan.bend_at(s)
        feet = np.stack([s, y, plan.terrain.height(s, y) + rise[green] - 0.02], axis=1)
        grown = self.rng.random(len(feet)) < density
        self.add(grass_blades(self.rng, feet[grown], length))

    def full_plan(self) -> GroundPlan:
        """Return the plan with all patches added so far."""
        return replace(self.plan, patches=tuple(self._patches))

    def build(self) -> Mesh:
        """Return the ground and all objects as one mesh; the ground comes first."""
        return merge([self.full_plan().mesh(self.rng).painted(self.rng), *self._objects])

    def object_of_triangle(self, scene: Mesh) -> NDArray[np.int64]:
        """Return (T,) which object each triangle of the built scene belongs to; 0 is the ground."""
        sizes = [len(mesh.label) for mesh in self._objects]
        ground = len(scene.label) - sum(sizes)
        return np.repeat(np.arange(len(sizes) + 1), [ground, *sizes])


def jittered_positions(rng: Rng, step: float, far: float = 100.0) -> NDArray[np.float64]:
    """Return sorted positions about ``step`` metres apart from −far to far."""
    positions = np.arange(-far, far, step)
    return np.asarray(positions + rng.uniform(0, step * 0.5, len(positions)))
