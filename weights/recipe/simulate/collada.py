"""Triangles out of COLLADA and Wavefront files: geometry alone, in metres, z up."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import F32

F64 = NDArray[np.float64]
Element = ElementTree.Element
_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_X_UP = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def read_obj(path: Path) -> F32:
    """Return (T, 3, 3) triangles of an OBJ file in its own axes; polygons become fans."""
    corners: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            corners.append([float(word) for word in words[1:4]])
        elif words[:1] == ["f"]:
            index = [int(word.split("/")[0]) for word in words[1:]]
            index = [i - 1 if i > 0 else len(corners) + i for i in index]
            faces += [(index[0], index[k], index[k + 1]) for k in range(1, len(index) - 1)]
    return np.asarray(corners, dtype=np.float32)[np.asarray(faces, dtype=np.int64)]


def read_dae(path: Path) -> F32:
    """Return (T, 3, 3) triangles of a COLLADA file in metres with z up."""
    root = ElementTree.parse(path).getroot()
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    unit = root.find("./asset/unit")
    metres = float(unit.get("meter", "1")) if unit is not None else 1.0
    up = root.findtext("./asset/up_axis", "Y_UP").strip()
    start = {"Y_UP": _Y_UP, "X_UP": _X_UP}.get(up, np.eye(4)) @ np.diag([metres, metres, metres, 1])
    geometry = {item.get("id"): _geometry(item) for item in root.iter("geometry")}
    nodes = {item.get("id"): item for item in root.iter("node")}
    parts: list[F64] = []
    for scene in root.iter("visual_scene"):
        for node in scene.findall("node"):
            _walk(node, start, (geometry, nodes), parts)
    return np.concatenate(parts).astype(np.float32)


def _walk(
    node: Element,
    above: F64,
    library: tuple[dict[str | None, F64], dict[str | None, Element]],
    parts: list[F64],
) -> None:
    here = above @ _transform(node)
    for instance in node.findall("instance_geometry"):
        corners = library[0][instance.get("url", "")[1:]]
        parts.append(corners @ here[:3, :3].T + here[:3, 3])
    for child in node.findall("node"):
        _walk(child, here, library, parts)
    for link in node.findall("instance_node"):
        _walk(library[1][link.get("url", "")[1:]], here, library, parts)


def _transform(node: Element) -> F64:
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
            one[:3, :3] = _turn(value)
        total = total @ one
    return total


def _turn(value: F64) -> F64:
    axis, angle = value[:3] / max(float(np.linalg.norm(value[:3])), 1e-9), np.radians(value[3])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return np.asarray(turn)


def _geometry(item: Element) -> F64:
    """Return (T, 3, 3) corners of one geometry in its own axes."""
    sources = {}
    for source in item.iter("source"):
        numbers = source.find("float_array")
        if numbers is not None and numbers.text:
            sources["#" + source.get("id", "")] = np.array(numbers.text.split(), dtype=np.float64)
    for vertices in item.iter("vertices"):
        for given in vertices.findall("input"):
            if given.get("semantic") == "POSITION":
                sources["#" + vertices.get("id", "")] = sources[given.get("source", "")]
    found = [
        _faces(face, sources) for kind in ("triangles", "polylist") for face in item.iter(kind)
    ]
    return np.concatenate(found) if found else np.zeros((0, 3, 3))


def _faces(face: Element, sources: dict[str, F64]) -> F64:
    inputs = face.findall("input")
    index = np.array((face.findtext("p") or "").split(), dtype=np.int64)
    vertex = next(given for given in inputs if given.get("semantic") == "VERTEX")
    stride = max(int(given.get("offset", "0")) for given in inputs) + 1
    corner = index.reshape(-1, stride)[:, int(vertex.get("offset", "0"))]
    xyz = sources[vertex.get("source", "")].reshape(-1, 3)
    counts = face.findtext("vcount")
    if not counts:
        return np.asarray(xyz[corner.reshape(-1, 3)])
    order, at = [], 0
    for count in map(int, counts.split()):
        order += [(at, at + k, at + k + 1) for k in range(1, count - 1)]
        at += count
    return np.asarray(xyz[corner[np.array(order, dtype=np.int64).reshape(-1, 3)]])
