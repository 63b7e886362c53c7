"""Readers of triangles from Wavefront OBJ, COLLADA and Gazebo SDF files, without materials."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from weights.recipe.simulate.primitives import F32, F64

Element = ElementTree.Element
# Rotations to z up from a file whose up axis is y or x.
_FROM_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_FROM_X_UP = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def read_mesh_file(path: Path) -> F32:
    """Return (T, 3, 3) float32 triangles of a file with z up.

    SDF and COLLADA files are in metres; OBJ files are in their own unit, with y up in the file.
    """
    if path.suffix == ".sdf":
        return _read_sdf(path)
    if path.suffix.lower() == ".dae":
        return _read_dae(path)
    corners = _read_obj(path)
    return np.asarray(np.stack([corners[..., 0], -corners[..., 2], corners[..., 1]], axis=-1))


def rotation_xyz(angles: F32) -> F32:
    """Return the (3, 3) rotation by (3,) roll, pitch and yaw in radians, in that order."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(angles), np.sin(angles)
    roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(yaw @ pitch @ roll, dtype=np.float32)


def _read_sdf(path: Path) -> F32:
    """Return the triangles of all visual meshes of a Gazebo model, each at its pose."""
    parts = []
    for visual in ElementTree.parse(path).getroot().iter("visual"):
        uri, scale = (
            visual.findtext("./geometry/mesh/uri"),
            visual.findtext("./geometry/mesh/scale"),
        )
        if not uri:
            continue
        file = path.parent.parent / uri.removeprefix("model://")
        # An SDF file's meshes are in its own axes, so an OBJ is not turned to z up here.
        corners = _read_dae(file) if file.suffix.lower() == ".dae" else _read_obj(file)
        corners = corners * np.array((scale or "1 1 1").split(), dtype=np.float32)
        pose = np.array((visual.findtext("pose") or "0 0 0 0 0 0").split(), dtype=np.float32)
        parts.append(corners @ rotation_xyz(pose[3:]).T + pose[:3])
    return np.concatenate(parts)


def _read_obj(path: Path) -> F32:
    """Return (T, 3, 3) triangles of an OBJ file in its own axes; polygons become fans."""
    corners: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            corners.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            # "vertex/texture/normal"; indices start at 1, negative ones count from the last.
            index = [int(word.split("/")[0]) for word in words[1:]]
            index = [i - 1 if i > 0 else len(corners) + i for i in index]
            faces += [(index[0], index[k], index[k + 1]) for k in range(1, len(index) - 1)]
    return np.asarray(corners, dtype=np.float32)[np.asarray(faces, dtype=np.int64)]


def _read_dae(path: Path) -> F32:
    """Return (T, 3, 3) triangles of a COLLADA file in metres with z up."""
    root = ElementTree.parse(path).getroot()
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    unit = root.find("./asset/unit")
    metres = float(unit.get("meter", "1")) if unit is not None else 1.0
    up = root.findtext("./asset/up_axis", "Y_UP").strip()
    axes = {"Y_UP": _FROM_Y_UP, "X_UP": _FROM_X_UP}.get(up, np.eye(4))
    start = axes @ np.diag([metres, metres, metres, 1])
    geometry = {item.get("id"): _geometry(item) for item in root.iter("geometry")}
    nodes = {item.get("id"): item for item in root.iter("node")}
    parts: list[F64] = []
    for scene in root.iter("visual_scene"):
        for node in scene.findall("node"):
            _collect(node, start, (geometry, nodes), parts)
    return np.concatenate(parts).astype(np.float32)


def _collect(
    node: Element,
    world_from_parent: F64,
    library: tuple[dict[str | None, F64], dict[str | None, Element]],
    parts: list[F64],
) -> None:
    """Append the triangles of a node and of all nodes below it, in world axes, to ``parts``.

    Args:
        node: the node of a visual scene.
        world_from_parent: (4, 4) transform of the node's parent.
        library: the file's geometries and nodes by id, which nodes refer to.
        parts: list of (T, 3, 3) arrays to append to.
    """
    world_from_node = world_from_parent @ _parent_from_node(node)
    for instance in node.findall("instance_geometry"):
        corners = library[0][instance.get("url", "")[1:]]
        parts.append(corners @ world_from_node[:3, :3].T + world_from_node[:3, 3])
    for child in node.findall("node"):
        _collect(child, world_from_node, library, parts)
    for link in node.findall("instance_node"):
        _collect(library[1][link.get("url", "")[1:]], world_from_node, library, parts)


def _parent_from_node(node: Element) -> F64:
    """Return the (4, 4) product of a node's transforms, in the order of the file."""
    total = np.eye(4)
    for step in node:
        if step.tag not in ("matrix", "translate", "rotate", "scale"):
            continue
        value = np.array((step.text or "").split(), dtype=np.float64)
        one = np.eye(4)
        if step.tag == "matrix":
            one = value.reshape(4, 4)
        elif step.tag == "translate":
            one[:3, 3] = value
        elif step.tag == "scale":
            one[:3, :3] = np.diag(value)
        else:
            one[:3, :3] = _axis_angle_rotation(value)
        total = total @ one
    return total


def _axis_angle_rotation(value: F64) -> F64:
    """Return the (3, 3) rotation of (4,) axis and angle in degrees (Rodrigues' formula)."""
    axis, angle = value[:3] / max(float(np.linalg.norm(value[:3])), 1e-9), np.radians(value[3])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return np.asarray(rotation)


def _geometry(item: Element) -> F64:
    """Return (T, 3, 3) corners of one COLLADA geometry in its own axes."""
    sources = {}
    for source in item.iter("source"):
        numbers = source.find("float_array")
        if numbers is not None and numbers.text:
            sources["#" + source.get("id", "")] = np.array(numbers.text.split(), dtype=np.float64)
    # Faces refer to a <vertices> element, which in turn refers to the source of its positions.
    for vertices in item.iter("vertices"):
        for entry in vertices.findall("input"):
            if entry.get("semantic") == "POSITION":
                sources["#" + vertices.get("id", "")] = sources[entry.get("source", "")]
    parts = [
        _faces(faces, sources) for tag in ("triangles", "polylist") for faces in item.iter(tag)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 3, 3))


def _faces(faces: Element, sources: dict[str, F64]) -> F64:
    """Return (T, 3, 3) corners of one <triangles> or <polylist>; polygons become fans."""
    inputs = faces.findall("input")
    index = np.array((faces.findtext("p") or "").split(), dtype=np.int64)
    vertex = next(entry for entry in inputs if entry.get("semantic") == "VERTEX")
    # <p> interleaves one index per input (vertex, normal, …); `corner` keeps the vertices' only.
    stride = max(int(entry.get("offset", "0")) for entry in inputs) + 1
    corner = index.reshape(-1, stride)[:, int(vertex.get("offset", "0"))]
    xyz = sources[vertex.get("source", "")].reshape(-1, 3)
    counts = faces.findtext("vcount")
    if not counts:
        return np.asarray(xyz[corner.reshape(-1, 3)])
    order, first = [], 0
    for count in map(int, counts.split()):
        order += [(first, first + k, first + k + 1) for k in range(1, count - 1)]
        first += count
    return np.asarray(xyz[corner[np.array(order, dtype=np.int64).reshape(-1, 3)]])
