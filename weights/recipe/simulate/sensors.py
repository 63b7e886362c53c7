"""Sensors: LiDARs on vehicles, robots and tripods, airborne scanners, and depth cameras.

Every sensor returns a `Capture`: points and what is known of their surfaces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.captures import Capture, joined
from weights.recipe.simulate.primitives import F32, F64, Point3, Rng
from weights.recipe.simulate.radiometry import laser_signal
from weights.recipe.simulate.ray_casting import RayCaster

# Floors of rooms: (x0, x1, y0, y1) in metres.
Floors = list[tuple[float, float, float, float]]


@dataclass(frozen=True, slots=True)
class Pose:
    """Position and orientation of a sensor; its axes are x forward, y left, z up.

    Attributes:
        position: metres in the world.
        yaw: rotation about z in radians.
        pitch: rotation about y in radians, positive downwards.
        roll: rotation about x in radians.
    """

    position: Point3
    yaw: float
    pitch: float
    roll: float

    def rotation(self) -> F32:
        """Return the (3, 3) rotation from the sensor's axes to the world's."""
        cy, sy = np.cos(self.yaw), np.sin(self.yaw)
        cp, sp = np.cos(self.pitch), np.sin(self.pitch)
        cr, sr = np.cos(self.roll), np.sin(self.roll)
        about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        return np.asarray(about_z @ about_y @ about_x, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Lidar:
    """A spinning or forward-looking LiDAR.

    Attributes:
        name: the model that it resembles.
        elevation_deg: (B,) elevation of each beam.
        sector_deg: first and last azimuth.
        step_deg: azimuth between measurements of a beam.
        noise_m: standard deviation of the range.
        max_range_m: there are no returns from beyond.
        min_range_m: there are no returns from nearer.
    """

    name: str
    elevation_deg: F32
    sector_deg: tuple[float, float]
    step_deg: float
    noise_m: float
    max_range_m: float
    min_range_m: float = 1.5


def beam_elevations(model: str) -> F32:
    """Return the (B,) beam elevations in degrees of a LiDAR model, from its data sheet.

    Raises:
        KeyError: the model is unknown.
    """
    # First and last elevation and the number of beams.
    uniform = {
        "vlp16": (-15, 15, 16),
        "hdl32": (-30.67, 10.67, 32),
        "os1_64": (-16.6, 16.6, 64),
        "os1_128": (-22.5, 22.5, 128),
        "os0_128": (-45, 45, 128),
        "os1_64_below": (-22.5, 0, 64),
    }
    if model in uniform:
        return np.linspace(*uniform[model], dtype=np.float32)
    # Other models have a dense band around the horizon and fewer beams below and above it.
    dense = {"vlp32": (-4.67, 1.33, 19), "hdl64": (-8.4, 2, 32)}
    dense |= {"pandar40": (-6, 2, 25), "pandar64": (-6, 2, 49)}
    below = {
        "vlp32": [-25, -15.6, -11.3, -8.8, -7.25, -6.15, -5.3],
        "hdl64": list(np.linspace(-24.9, -8.8, 32)),
        "pandar40": [-16, -14, -13, -12, -11, -10, -9, -8, -7],
        "pandar64": [-25, -19, -14, -13, -12, -11, -10, -9, -8, -7],
    }
    above = {"vlp32": [1.67, 2.33, 3.33, 4.67, 7, 15], "hdl64": []}
    above |= {"pandar40": [3, 5, 8, 11, 13, 15], "pandar64": [3, 5, 9, 12, 15]}
    beams = np.concatenate([below[model], np.linspace(*dense[model]), above[model]])
    return beams.astype(np.float32)


def draw_lidar(rng: Rng, street_kind: str) -> Lidar:
    """Return a random LiDAR with slightly different beams, noise and range each time.

    Args:
        rng: draws the model and its parameters.
        street_kind: "trail" gives the sensors of robots, any other name those of vehicles.
    """
    if street_kind == "trail":
        models = ["os1_64", "os1_64", "os1_128", "hdl64", "hdl32", "os0_128", "vlp32"]
    else:
        models = (
            ["hdl64"] * 4
            + ["pandar64"] * 4
            + ["hdl32"] * 3
            + ["front_gt", "front", "front32", "front32"]
            + ["vlp16", "vlp32", "pandar40", "os1_64", "os1_128", "os1_128", "os1_64_below"]
        )
    model = str(rng.choice(models))
    noise_m = float(rng.uniform(0.008, 0.03))
    max_range_m = float(rng.choice([60, 80, 100, 120, 200]))
    if model.startswith("front"):
        return _draw_front_lidar(model, rng, noise_m, max_range_m)
    beams = beam_elevations(model)
    beams = beams * np.float32(rng.uniform(0.95, 1.08)) + np.float32(rng.uniform(-1, 1))
    # Each laser of a real LiDAR deviates a little from its nominal angle.
    beams = beams + rng.normal(0, 0.04, len(beams)).astype(np.float32)
    steps = (
        [0.1728, 0.2] if model in ("hdl64", "pandar64", "pandar40") else [0.1758, 0.3516, 0.3516]
    )
    step_deg = float(rng.choice(steps if len(beams) > 32 else [0.1, 0.16, 0.2, 0.33]))
    max_range_m = max(max_range_m, 80.0)
    return Lidar(model, beams.astype(np.float32), (0.0, 360.0), step_deg, noise_m, max_range_m)


def _draw_front_lidar(model: str, rng: Rng, noise_m: float, max_range_m: float) -> Lidar:
    """Return a LiDAR that sees a sector ahead, such as the PandarGT ("front_gt")."""
    half_sector, low, high, beam_count, step_deg = (30.0, -7.0, 5.0, 100, 0.1)
    if model == "front":
        half_sector = float(rng.uniform(45, 70))
        low, high = float(rng.uniform(-18, -10)), 8.0
        beam_count, step_deg = int(rng.integers(40, 110)), 0.2
    if model == "front32":
        half_sector, low, high = (
            float(rng.uniform(40, 60)),
            float(rng.uniform(-20, -12)),
            float(rng.uniform(1, 8)),
        )
        beam_count, step_deg = 32, float(rng.choice([0.2, 0.4]))
    beams = np.linspace(low, high, beam_count, dtype=np.float32)
    sector = (-half_sector, half_sector)
    return Lidar(model, beams, sector, step_deg, noise_m, max(max_range_m, 120.0))


def scan_with_lidar(caster: RayCaster, lidar: Lidar, pose: Pose, rng: Rng) -> Capture:
    """Return the points of one sweep of a LiDAR.

    Args:
        caster: the scene.
        lidar: the sensor.
        pose: its pose, fixed during the sweep.
        rng: draws noise and lost returns.
    """
    azimuth = np.arange(lidar.sector_deg[0], lidar.sector_deg[1], lidar.step_deg)
    # Lasers fire one after another, so each beam has its own azimuths. (beams, azimuths) angles:
    offset = rng.uniform(-2, 2, len(lidar.elevation_deg))
    azimuth_rad = np.radians(azimuth[None, :] + offset[:, None])
    azimuth_rad = azimuth_rad + rng.normal(0, 2e-4, azimuth_rad.shape)
    elevation_rad = np.radians(lidar.elevation_deg)[:, None]
    elevation_rad = elevation_rad + rng.normal(0, 2e-4, azimuth_rad.shape)
    # (beams · azimuths, 3) unit vectors in the sensor's axes.
    sensor_directions = (
        np.stack(
            [
                np.cos(elevation_rad) * np.cos(azimuth_rad),
                np.cos(elevation_rad) * np.sin(azimuth_rad),
                np.sin(elevation_rad),
            ],
            axis=-1,
        )
        .reshape(-1, 3)
        .astype(np.float32)
    )
    directions = sensor_directions @ pose.rotation().T
    origins = np.broadcast_to(np.asarray(pose.position, dtype=np.float32), directions.shape)
    returns = caster.cast(origins, directions, rng)
    range_m = returns.range_m + rng.normal(0, lidar.noise_m, len(returns)).astype(np.float32)
    xyz = origins[returns.ray] + directions[returns.ray] * range_m[:, None]
    capture = Capture.from_returns(xyz, returns)
    return capture[_draw_detected(lidar, capture, rng)]


def _draw_detected(lidar: Lidar, capture: Capture, rng: Rng) -> NDArray[np.bool_]:
    """Return (P,) which points the LiDAR detects: fewer if far, slanting or dark."""
    range_m = capture.range_m
    # 0.3 is a usual reflectance; detection falls off more slowly than light does.
    strength = np.sqrt(np.clip(laser_signal(capture, rng) / 0.3, 0.004, 2))
    strength = strength * (lidar.max_range_m / np.maximum(range_m, 1)) ** 1.5
    probability = 0.985 * np.clip(strength / (0.35 + strength) * 1.25, 0, 1)
    in_range = (range_m < lidar.max_range_m) & (range_m > lidar.min_range_m)
    return np.asarray((rng.random(len(range_m)) < probability) & in_range)


@dataclass(frozen=True, slots=True)
class FlightLine:
    """One pass of an aircraft with a laser scanner.

    Attributes:
        height_m: height above z = 0.
        offset_m: distance of the line from the scene's middle, to its left.
        heading: direction of flight in radians.
        pulse_density: pulses per square metre.
        max_returns: the highest number of returns of a pulse.
    """

    height_m: float
    offset_m: float
    heading: float
    pulse_density: float
    max_returns: int


def scan_from_aircraft(caster: RayCaster, line: FlightLine, half_size: float, rng: Rng) -> Capture:
    """Return the points of one flight line over a square.

    Args:
        caster: the scene.
        line: the flight line.
        half_size: the square reaches to ±half_size metres in x and y.
        rng: draws the scan pattern and noise.
    """
    spacing = 1 / np.sqrt(line.pulse_density)
    squeeze = float(rng.uniform(0.6, 1.6))
    across = np.arange(-half_size, half_size, spacing * squeeze)
    forward = np.arange(-half_size, half_size, spacing / squeeze)
    u, v = np.meshgrid(across, forward, indexing="ij")
    # An oscillating mirror scans lines that are not perpendicular to the flight.
    v = v + u * float(rng.choice([0.0, 0.15, -0.3]))
    u, v = (grid + rng.normal(0, 0.12 * spacing, grid.shape) for grid in (u, v))
    cos, sin = np.cos(line.heading), np.sin(line.heading)
    # (R, 3) targets on z = 0, of which those inside the square are kept.
    target = np.stack(
        [cos * v.ravel() - sin * u.ravel(), sin * v.ravel() + cos * u.ravel(), np.zeros(u.size)],
        axis=1,
    )
    target = target[np.abs(target[:, :2]).max(axis=1) < half_size]
    # A pulse leaves the aircraft when it is abreast of the target.
    along = target[:, 0] * cos + target[:, 1] * sin
    offset = np.array([-sin, cos]) * line.offset_m
    origin = np.stack(
        [cos * along + offset[0], sin * along + offset[1], np.full(len(target), line.height_m)],
        axis=1,
    )
    direction = target - origin
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # Rays start 130 m above the ground: over the whole flight height, float32 would lose
    # centimetres.
    start = (origin + direction * ((line.height_m - 130) / -direction[:, 2:])).astype(np.float32)
    directions = direction.astype(np.float32)
    returns = caster.cast(start, directions, rng, max_returns=line.max_returns, max_hits=9)
    range_m = returns.range_m + rng.normal(0, 0.015, len(returns)).astype(np.float32)
    xyz = start[returns.ray] + directions[returns.ray] * range_m[:, None]
    # Horizontal errors grow with the height.
    xyz[:, :2] += rng.normal(0, 1e-4 * line.height_m, (len(xyz), 2)).astype(np.float32)
    return Capture.from_returns(xyz, returns)


def _draw_viewpoints(rng: Rng, floors: Floors, count: int) -> F64:
    """Return (count, 2) random positions on the floors, sorted by room."""
    area = np.array([(x1 - x0) * (y1 - y0) for x0, x1, y0, y1 in floors])
    rooms = np.sort(rng.choice(len(floors), count, p=area / area.sum()))
    margin = 0.35
    positions = []
    for x0, x1, y0, y1 in (floors[room] for room in rooms):
        positions.append(
            (rng.uniform(x0 + margin, x1 - margin), rng.uniform(y0 + margin, y1 - margin))
        )
    return np.asarray(positions)


def scan_with_depth_camera(caster: RayCaster, floors: Floors, rng: Rng, images: int) -> Capture:
    """Return the points of several depth images in rooms.

    Args:
        caster: the scene.
        floors: the floors of its rooms.
        rng: draws poses and noise.
        images: number of images, each of 150 by 112 pixels.
    """
    height, pitch_mean = float(rng.uniform(1.2, 1.75)), float(rng.uniform(-0.65, -0.1))
    # (pixels, 3) unit vectors in the camera's axes, x forward: tangents of the viewing angles.
    u, v = np.meshgrid(np.linspace(-0.57, 0.57, 150), np.linspace(-0.43, 0.43, 112))
    pixel_directions = np.stack([np.ones(u.size), -u.ravel(), -v.ravel()], axis=1)
    pixel_directions /= np.linalg.norm(pixel_directions, axis=1, keepdims=True)
    directions, origins = [], []
    for x, y in _draw_viewpoints(rng, floors, images):
        pitch = pitch_mean + float(rng.normal(0, 0.25))
        x0, x1, y0, y1 = next(floor for floor in floors if floor[0] <= x <= floor[1])
        # People point a camera at the middle of the room rather than at the wall beside them.
        yaw = float(np.arctan2((y0 + y1) / 2 - y, (x0 + x1) / 2 - x) + rng.normal(0, 0.9))
        pose = Pose((float(x), float(y), height), yaw, -pitch, float(rng.normal(0, 0.05)))
        directions.append((pixel_directions @ pose.rotation().T).astype(np.float32))
        position = np.array(pose.position, dtype=np.float32)
        origins.append(np.broadcast_to(position, directions[-1].shape))
    all_origins, all_directions = np.concatenate(origins), np.concatenate(directions)
    returns = caster.cast(all_origins, all_directions, rng)
    max_range_m = float(rng.uniform(3.5, 6))
    detected = (
        (returns.range_m > 0.4)
        & (returns.range_m < max_range_m)
        & (rng.random(len(returns.ray)) < 0.3 + 2 * returns.cosine)
    )
    returns = returns[detected]
    ray, range_m = returns.ray, returns.range_m
    # The error of structured light and stereo grows with the square of the range; fusing many
    # images, as scanning software does, keeps it small.
    noise_m = (0.002 + float(rng.uniform(0.0005, 0.003)) * range_m**2).astype(np.float32)
    range_m = range_m + noise_m * rng.normal(size=len(ray)).astype(np.float32)
    xyz = all_origins[ray] + all_directions[ray] * range_m[:, None]
    return Capture.from_returns(np.asarray(xyz, np.float32), returns)


def scan_with_handheld_lidar(caster: RayCaster, floors: Floors, rng: Rng) -> Capture:
    """Return the points of a spinning LiDAR that is carried through rooms."""
    beams = int(rng.choice([16, 32, 64]))
    highest_deg = float(rng.uniform(15, 45))
    lidar = Lidar(
        "carried",
        np.linspace(-highest_deg, highest_deg, beams, dtype=np.float32),
        (0, 360),
        0.6,
        float(rng.uniform(0.005, 0.02)),
        40.0,
        0.4,
    )
    sweeps = []
    for x, y in _draw_viewpoints(rng, floors, max(256 // beams, 6)):
        tilt = rng.normal(0, 0.35, 2)
        position = (float(x), float(y), float(rng.uniform(0.9, 1.8)))
        pose = Pose(position, float(rng.uniform(0, 6)), float(tilt[0]), float(tilt[1]))
        sweeps.append(scan_with_lidar(caster, lidar, pose, rng))
    return joined(sweeps)


def scan_with_tripod_scanner(caster: RayCaster, floors: Floors, rng: Rng) -> Capture:
    """Return the points of a terrestrial laser scanner at one to four positions."""
    beams = np.linspace(-60, 85, 400, dtype=np.float32)
    scans = []
    for x, y in _draw_viewpoints(rng, floors, int(rng.integers(1, 5))):
        lidar = Lidar("tripod", beams, (0, 360), 0.45, 0.002, 60.0, 0.4)
        position = (float(x), float(y), float(rng.uniform(1.2, 1.7)))
        scans.append(scan_with_lidar(caster, lidar, Pose(position, 0.0, 0.0, 0.0), rng))
    return joined(scans)
