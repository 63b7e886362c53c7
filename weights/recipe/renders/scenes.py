"""One rendered scene per seed: point clouds, labels, images and poses in a folder."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from weights.recipe.renders.classes import class_id_of_concept
from weights.recipe.renders.reflectance import draw_intensity, draw_reflectance
from weights.recipe.renders.rendering import Light, render
from weights.recipe.renders.sensor_rig import (
    draw_cameras,
    draw_lidar_poses,
    draw_sensor,
    to_sensor_axes,
    world_from_sensor,
)
from weights.recipe.renders.surfaces import Surfaces
from weights.recipe.simulate.lidars import scan_with_lidar
from weights.recipe.simulate.mesh_catalogue import read_catalogue
from weights.recipe.simulate.ray_casting import RayCaster
from weights.recipe.simulate.street_scene import draw_street

# Streets with people, vehicles and buildings; images of empty land show few classes.
STREET_KINDS = ("residential", "suburb", "downtown", "oldtown", "commercial", "campus")
_CAMERA_NAMES = ("ahead", "left", "right", "behind")


@dataclass(frozen=True, slots=True)
class SceneJob:
    """A scene to write.

    Attributes:
        seed: decides everything.
        root: folder of the data set.
        meshes: folder with archives of ready-made meshes, or None.
        pixels: whether to write ``pixels/*.png``, the class of each pixel (0 none, 255 sky).
    """

    seed: int
    root: Path
    meshes: Path | None = None
    pixels: bool = False

    @property
    def name(self) -> str:
        """The scene's name, which is the name of its folder."""
        return f"street_{self.seed:06d}"


def write_scene(job: SceneJob) -> str:
    """Write a scene in the layout of ``--dataset folder`` and return a line for the log."""
    start = time.perf_counter()
    rng = np.random.default_rng([job.seed, 4])
    mesh, builder, street_kind = draw_street(
        rng, read_catalogue(job.meshes), str(rng.choice(STREET_KINDS))
    )
    caster, surfaces = RayCaster(mesh), Surfaces(mesh, builder, rng)
    lidar = draw_sensor(rng)
    poses = draw_lidar_poses(builder, caster, rng)
    part = job.root / f".{job.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    for folder in ("sweeps", "images", *(("pixels",) if job.pixels else ())):
        (part / folder).mkdir(parents=True)
    sweeps = []
    # Intensities have their own generator, so that changing them leaves the images unchanged.
    intensity_rng = np.random.default_rng([job.seed, 5])
    reflectance = draw_reflectance(intensity_rng)
    for number, pose in enumerate(poses):
        capture = scan_with_lidar(caster, lidar, pose, rng)
        xyz, concept = capture.xyz, capture.label
        file = f"sweeps/{number:02d}.npy" if number else "cloud.npy"
        intensity = draw_intensity(reflectance, concept, intensity_rng)
        np.save(part / file, np.column_stack([to_sensor_axes(xyz, pose), intensity]))
        if number:
            matrix = world_from_sensor(pose).tolist()
            sweeps.append({"cloud": file, "world_from_sensor": matrix, "time_s": -0.1 * number})
        else:
            np.save(part / "labels.npy", class_id_of_concept()[concept])
            points = len(xyz)
    cameras, light = [], Light.draw(rng)
    for name, camera in zip(_CAMERA_NAMES, draw_cameras(poses[0], rng), strict=True):
        photograph = render(caster, surfaces, builder.full_plan(), (camera, light), rng)
        file = f"images/{name}.jpg"
        Image.fromarray(photograph.image).save(part / file, quality=int(rng.integers(84, 95)))
        if job.pixels:
            Image.fromarray(photograph.class_id).save(part / "pixels" / f"{name}.png")
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
        "world_from_cloud": world_from_sensor(poses[0]).tolist(),
        "time_s": 0.0,
    }
    (part / "cameras.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    target = job.root / job.name
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)
    seconds = time.perf_counter() - start
    return f"{job.name} {street_kind} {lidar.name} {points} points {seconds:.1f}s"
