"""One seed, one scene on disk: cloud, truth, sweeps, images and their poses."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from weights.recipe.renders.classes import class_id_of_concept
from weights.recipe.renders.echoes import intensity, street_reflectance
from weights.recipe.renders.rig import (
    draw_cameras,
    draw_sensor,
    draw_track,
    in_sensor_axes,
    world_from_sensor,
)
from weights.recipe.renders.spots import Surfaces
from weights.recipe.renders.views import Light, photograph
from weights.recipe.simulate.caster import Caster
from weights.recipe.simulate.lidars import scan
from weights.recipe.simulate.meshes import models
from weights.recipe.simulate.streets import street

# Streets with people, vehicles and buildings; roads through empty land teach few words.
STYLES = ("residential", "suburb", "downtown", "oldtown", "commercial", "campus")
_NAMES = ("ahead", "left", "right", "behind")


@dataclass(frozen=True, slots=True)
class Job:
    """What to write.

    Attributes:
        seed: decides everything.
        root: the data set's folder.
        meshes: folder with ready-made models, or None.
        pixels: also write what every pixel shows, as ``pixels/*.png`` (0 not judged, 255 sky).
    """

    seed: int
    root: Path
    meshes: Path | None = None
    pixels: bool = False

    @property
    def name(self) -> str:
        """The scene's name."""
        return f"street_{self.seed:06d}"


def write_scene(job: Job) -> str:
    """Make and store one scene; return a line that says what came out."""
    start = time.perf_counter()
    rng = np.random.default_rng([job.seed, 4])
    soup, stage, style = street(rng, models(job.meshes), str(rng.choice(STYLES)))
    caster, surfaces = Caster(soup), Surfaces(soup, stage, rng)
    lidar, track = draw_sensor(rng), draw_track(stage, caster, rng)
    part = job.root / f".{job.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    for folder in ("sweeps", "images", *(("pixels",) if job.pixels else ())):
        (part / folder).mkdir(parents=True)
    sweeps = []
    # Draws of its own: images stay the same, whatever becomes of the returns.
    dice = np.random.default_rng([job.seed, 5])
    reflectance = street_reflectance(dice)
    for number, pose in enumerate(track.poses):
        xyz, concept = scan(caster, lidar, pose, rng)
        file = f"sweeps/{number:02d}.npy" if number else "cloud.npy"
        bright = intensity(reflectance, concept, dice)
        np.save(part / file, np.column_stack([in_sensor_axes(xyz, pose), bright]))
        if number:
            matrix = world_from_sensor(pose).tolist()
            sweeps.append({"cloud": file, "world_from_sensor": matrix, "time_s": -0.1 * number})
        else:
            np.save(part / "labels.npy", class_id_of_concept()[concept])
            points = len(xyz)
    cameras, light = [], Light.draw(rng)
    for name, camera in zip(_NAMES, draw_cameras(track.poses[0], rng), strict=True):
        taken = photograph(caster, surfaces, stage.full_plan(), (camera, light), rng)
        file = f"images/{name}.jpg"
        Image.fromarray(taken.image).save(part / file, quality=int(rng.integers(84, 95)))
        if job.pixels:
            Image.fromarray(taken.class_id).save(part / "pixels" / f"{name}.png")
        cameras.append(
            {
                "image": file,
                "intrinsics": list(camera.intrinsics),
                "world_from_camera": camera.world_from_camera.tolist(),
                "time_s": 0.0,
            }
        )
    table = {
        "cameras": cameras,
        "sweeps": sweeps,
        "world_from_cloud": world_from_sensor(track.poses[0]).tolist(),
        "time_s": 0.0,
    }
    (part / "cameras.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    target = job.root / job.name
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    seconds = time.perf_counter() - start
    return f"{job.name} {style} {lidar.name} {points} points {seconds:.1f}s"
