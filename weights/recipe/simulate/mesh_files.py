"""Readers of meshes from glTF, Wavefront OBJ, COLLADA, Gazebo SDF and Sweet Home 3D's npz files.

They read triangles, their colours, and the names of their surfaces as far as a file has them.
"""

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from weights.recipe.simulate.materials import to_srgb
from weights.recipe.simulate.primitives import F32, F64, U8

Element = ElementTree.Element
# Rotations to z up from a file whose up axis is y or x.
_FROM_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_FROM_X_UP = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


@dataclass(frozen=True, slots=True)
class MeshFile:
    """T triangles of a file and how they look.

    Attributes:
        triangles: (T, 3, 3) float32, corners.
        color: (T, 3) uint8 sRGB; (0, 0, 0) where the file has none.
        surface: (T,) int64, an index into ``surface_names``.
        surface_names: the file's own names of its materials, "" for none.
    """

    triangles: F32
    color: U8
    surface: NDArray[np.int64]
    surface_names: tuple[str, ...]


def read_mesh_file(path: Path) -> MeshFile:
    """Return the triangles of a file with z up.

    SDF, COLLADA and Sweet Home 3D's files are in metres; OBJ and glTF files are in their own unit.
    """
    if path.suffix == ".sdf":
        return _read_sdf(path)
    if path.suffix.lower() == ".dae":
        return _read_dae(path)
    if path.suffix == ".npz":
        return _read_npz(path)
    read = _read_gltf(path) if path.suffix in (".glb", ".gltf") else _read_obj(path)
    # These have y up.
    return _turned(read, np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=np.float32))


def _turned(read: MeshFile, matrix: F32, shift: F32 | float = 0.0) -> MeshFile:
    """Return a mesh whose corners are multiplied by a (3, 3) matrix and shifted."""
    corners = np.asarray(read.triangles @ matrix.T + np.float32(shift), dtype=np.float32)
    return MeshFile(corners, read.color, read.surface, read.surface_names)


def _joined(parts: Iterable[MeshFile]) -> MeshFile:
    """Return one mesh with the triangles of several, and the names of all their surfaces."""
    names: list[str] = []
    triangles, colors, surfaces = [], [], []
    for part in parts:
        triangles.append(part.triangles)
        colors.append(part.color)
        surfaces.append(part.surface + len(names))
        names += part.surface_names
    return MeshFile(
        np.concatenate(triangles).astype(np.float32),
        np.concatenate(colors),
        np.concatenate(surfaces),
        tuple(names),
    )


def _one_surface(triangles: F32 | F64, color: U8 | None, name: str) -> MeshFile:
    """Return (T, 3, 3) triangles of one surface; without a colour it is (0, 0, 0)."""
    count = len(triangles)
    paint = np.zeros(3, np.uint8) if color is None else np.maximum(color[:3], 1)
    return MeshFile(
        np.asarray(triangles, dtype=np.float32),
        np.tile(paint, (count, 1)),
        np.zeros(count, dtype=np.int64),
        (name,),
    )


def _read_npz(path: Path) -> MeshFile:
    with np.load(path) as arrays:
        corners = arrays["vertices"][arrays["faces"].astype(np.int64)]
        color = np.maximum(arrays["palette"][arrays["face_color"]], 1)
    nothing = np.zeros(len(corners), dtype=np.int64)
    return MeshFile(corners.astype(np.float32), color.astype(np.uint8), nothing, ("",))


# glTF's numbers of component types, and the numbers of components of its types.
_GLTF_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_GLTF_COUNTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def _read_gltf(path: Path) -> MeshFile:
    """Return the triangles of a glTF file in its own axes, without skins and textures."""
    content = path.read_bytes()
    if path.suffix == ".gltf":
        header = json.loads(content)
        binary = (path.parent / header["buffers"][0]["uri"]).read_bytes()
    else:
        (json_length,) = struct.unpack_from("<I", content, 12)
        header = json.loads(content[20 : 20 + json_length])
        # The second chunk holds the arrays: 8 bytes of length and type, then the bytes.
        binary = content[28 + json_length :]
    parts: list[MeshFile] = []
    scene = header["scenes"][header.get("scene", 0)]
    for node in scene["nodes"]:
        _collect_gltf(header, binary, (node, np.eye(4)), parts)
    return _joined(parts)


def _collect_gltf(
    header: dict[str, Any], binary: bytes, node: tuple[int, F64], parts: list[MeshFile]
) -> None:
    """Append the triangles of a node and of all nodes below it to ``parts``.

    Args:
        header: the file's JSON.
        binary: the file's arrays.
        node: the node's number and the (4, 4) transform of its parent.
        parts: list of meshes to append to.
    """
    row, world_from_parent = header["nodes"][node[0]], node[1]
    world_from_node = world_from_parent @ _gltf_transform(row)
    if "mesh" in row:
        for primitive in header["meshes"][row["mesh"]]["primitives"]:
            corners = _gltf_array(header, binary, primitive["attributes"]["POSITION"])
            index = (
                _gltf_array(header, binary, primitive["indices"]).reshape(-1)
                if "indices" in primitive
                else np.arange(len(corners))
            )
            world = corners @ world_from_node[:3, :3].T + world_from_node[:3, 3]
            triangles = world[index.astype(np.int64)].reshape(-1, 3, 3)
            material = header.get("materials", [{}])[primitive.get("material", 0)]
            parts.append(_one_surface(triangles, _gltf_color(material), material.get("name", "")))
    for child in row.get("children", []):
        _collect_gltf(header, binary, (child, world_from_node), parts)


def _gltf_transform(node: dict[str, Any]) -> F64:
    """Return the (4, 4) transform of a node."""
    if "matrix" in node:
        columns = np.asarray(node["matrix"], dtype=np.float64).reshape(4, 4)
        return np.asarray(columns.T)
    x, y, z, w = node.get("rotation", (0.0, 0.0, 0.0, 1.0))
    total = np.eye(4)
    total[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    total[:3, :3] *= np.asarray(node.get("scale", (1.0, 1.0, 1.0)))
    total[:3, 3] = node.get("translation", (0.0, 0.0, 0.0))
    return total


def _gltf_array(header: dict[str, Any], binary: bytes, number: int) -> NDArray[Any]:
    """Return an accessor as an array (count, components)."""
    accessor = header["accessors"][number]
    view = header["bufferViews"][accessor["bufferView"]]
    dtype, components = np.dtype(_GLTF_TYPES[accessor["componentType"]]), accessor["type"]
    columns = _GLTF_COUNTS[components]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", dtype.itemsize * columns)
    array: NDArray[Any] = np.ndarray(
        (accessor["count"], columns),
        dtype,
        buffer=binary,
        offset=start,
        strides=(stride, dtype.itemsize),
    )
    return array


def _gltf_color(material: dict[str, Any]) -> U8 | None:
    """Return the sRGB of a material's diffuse factor, if it has one."""
    extension = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness", {})
    factor = extension.get("diffuseFactor") or material.get("pbrMetallicRoughness", {}).get(
        "baseColorFactor"
    )
    return None if factor is None else to_srgb(np.asarray(factor[:3], dtype=np.float32))


def rotation_xyz(angles: F32) -> F32:
    """Return the (3, 3) rotation by (3,) roll, pitch and yaw in radians, in that order."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(angles), np.sin(angles)
    roll = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    pitch = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    yaw = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(yaw @ pitch @ roll, dtype=np.float32)


def _read_sdf(path: Path) -> MeshFile:
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
        read = _read_dae(file) if file.suffix.lower() == ".dae" else _read_obj(file)
        factors = np.diag(np.array((scale or "1 1 1").split(), dtype=np.float32))
        pose = np.array((visual.findtext("pose") or "0 0 0 0 0 0").split(), dtype=np.float32)
        parts.append(_turned(read, rotation_xyz(pose[3:]) @ factors, pose[:3]))
    return _joined(parts)


def _read_obj(path: Path) -> MeshFile:
    """Return the triangles of an OBJ file in its own axes; polygons become fans."""
    corners: list[list[str]] = []
    texture = [["0", "0"]]
    names, library = [""], ""
    # For each triangle its corners, rows of `texture` (0 is none), and its material.
    faces: list[tuple[int, ...]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, *words = line.split() or [""]
        if key == "v":
            corners.append(words[:3])
        elif key == "vt":
            texture.append(words[:2])
        elif key == "mtllib":
            library = " ".join(words)
        elif key == "usemtl":
            names.append(" ".join(words))
        elif key == "f":
            counts = (len(corners), len(texture) - 1)
            faces += [(*face, len(names) - 1) for face in _obj_fan(words, counts)]
    index = np.asarray(faces, dtype=np.int64)
    triangles = np.asarray(corners, dtype=np.float32)[index[:, :3]]
    uv = np.asarray(texture, dtype=np.float64)[index[:, 3:6]].mean(axis=1)
    surface = index[:, 6]
    color = np.zeros((len(triangles), 3), dtype=np.uint8)
    for name, look in _read_mtl(path.with_name(library) if library else path).items():
        is_used = np.isin(surface, [k for k, other in enumerate(names) if other == name])
        color[is_used] = look.sample(uv[is_used])
    return MeshFile(triangles, color, surface, tuple(names))


def _obj_fan(words: list[str], counts: tuple[int, int]) -> list[tuple[int, ...]]:
    """Return the triangles of a face: three rows of corners, three of texture coordinates.

    Args:
        words: "vertex/texture/normal" of each corner; numbers start at 1, negative ones count
            from the last.
        counts: number of vertices and of texture coordinates so far.
    """
    rows = []
    for place, count in enumerate(counts):
        numbers = [int((word.split("/") + ["", ""])[place] or 0) for word in words]
        rows.append([number if number >= 0 else count + number + 1 for number in numbers])
    corner, image = [row - 1 for row in rows[0]], rows[1]
    return [
        (corner[0], corner[k], corner[k + 1], image[0], image[k], image[k + 1])
        for k in range(1, len(words) - 1)
    ]


@dataclass(frozen=True, slots=True)
class _Look:
    """The colour of an OBJ material: (3,) sRGB, and the file of its texture, if it has one."""

    color: U8
    texture: Path | None

    def sample(self, uv: F64) -> U8:
        """Return the (n, 3) colours at (n, 2) texture coordinates; never (0, 0, 0)."""
        if self.texture is None or not self.texture.is_file():
            return np.tile(np.maximum(self.color, 1), (len(uv), 1))
        pixels = _read_image(self.texture)
        height, width = pixels.shape[:2]
        column = np.mod((uv[:, 0] * width).astype(np.int64), width)
        row = np.mod(((1 - uv[:, 1]) * height).astype(np.int64), height)
        return np.asarray(np.maximum(pixels[row, column], 1))


@lru_cache(maxsize=8)
def _read_image(path: Path) -> U8:
    """Return the pixels of an image, (height, width, 3) uint8."""
    return np.asarray(Image.open(path).convert("RGB"))


def _read_mtl(path: Path) -> dict[str, _Look]:
    """Return the looks of an MTL file by name; of anything else, none."""
    looks: dict[str, _Look] = {}
    if path.suffix != ".mtl" or not path.is_file():
        return looks
    name = ""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["newmtl"]:
            name = words[1] if len(words) > 1 else ""
            looks[name] = _Look(np.full(3, 128, np.uint8), None)
        elif words[:1] == ["Kd"] and len(words) > 3:
            color = np.asarray([float(word) for word in words[1:4]]) * 255
            looks[name] = _Look(np.clip(color, 1, 255).astype(np.uint8), looks[name].texture)
        elif words[:1] == ["map_Kd"]:
            looks[name] = _Look(looks[name].color, path.with_name(Path(words[-1]).name))
    return looks


def _read_dae(path: Path) -> MeshFile:
    """Return the triangles of a COLLADA file in metres with z up."""
    root = ElementTree.parse(path).getroot()
    for element in root.iter():
        element.tag = element.tag.rsplit("}", 1)[-1]
    unit = root.find("./asset/unit")
    metres = float(unit.get("meter", "1")) if unit is not None else 1.0
    up = root.findtext("./asset/up_axis", "Y_UP").strip()
    axes = {"Y_UP": _FROM_Y_UP, "X_UP": _FROM_X_UP}.get(up, np.eye(4))
    start = axes @ np.diag([metres, metres, metres, 1])
    library = _DaeLibrary(
        {item.get("id"): _geometry(item) for item in root.iter("geometry")},
        {item.get("id"): item for item in root.iter("node")},
        _dae_colors(root),
    )
    parts: list[MeshFile] = []
    for scene in root.iter("visual_scene"):
        for node in scene.findall("node"):
            _collect(node, start, library, parts)
    return _joined(parts)


@dataclass(frozen=True, slots=True)
class _DaeLibrary:
    """What the nodes of a COLLADA file refer to, by id.

    Attributes:
        faces: for each geometry, (T, 3, 3) corners of each material's symbol.
        nodes: the nodes.
        colors: the (3,) sRGB of each material, None where it has a texture, and its name.
    """

    faces: dict[str | None, list[tuple[str, F64]]]
    nodes: dict[str | None, Element]
    colors: dict[str, tuple[U8 | None, str]]


def _dae_colors(root: Element) -> dict[str, tuple[U8 | None, str]]:
    """Return the diffuse colour, if it is no texture, and the name of each material by its id."""
    color_of_effect: dict[str, U8 | None] = {}
    for effect in root.iter("effect"):
        text = next((item.findtext("color") for item in effect.iter("diffuse")), None)
        color = None
        if text:
            value = np.array(text.split()[:3], dtype=np.float64) * 255
            color = np.clip(value, 1, 255).astype(np.uint8)
        color_of_effect[effect.get("id", "")] = color
    found: dict[str, tuple[U8 | None, str]] = {}
    for material in root.iter("material"):
        link = material.find("instance_effect")
        url = link.get("url", "")[1:] if link is not None else ""
        name = material.get("name", "") or material.get("id", "")
        found[material.get("id", "")] = (color_of_effect.get(url), name)
    return found


def _collect(
    node: Element, world_from_parent: F64, library: _DaeLibrary, parts: list[MeshFile]
) -> None:
    """Append the triangles of a node and of all nodes below it, in world axes, to ``parts``.

    Args:
        node: the node of a visual scene.
        world_from_parent: (4, 4) transform of the node's parent.
        library: what nodes refer to.
        parts: list of meshes to append to.
    """
    world_from_node = world_from_parent @ _parent_from_node(node)
    for instance in node.findall("instance_geometry"):
        # A symbol of the geometry stands for a material that the instance names.
        target = {
            item.get("symbol", ""): item.get("target", "")[1:]
            for item in instance.iter("instance_material")
        }
        for symbol, corners in library.faces[instance.get("url", "")[1:]]:
            world = corners @ world_from_node[:3, :3].T + world_from_node[:3, 3]
            color, name = library.colors.get(target.get(symbol, symbol), (None, symbol))
            parts.append(_one_surface(world, color, name))
    for child in node.findall("node"):
        _collect(child, world_from_node, library, parts)
    for link in node.findall("instance_node"):
        _collect(library.nodes[link.get("url", "")[1:]], world_from_node, library, parts)


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


def _geometry(item: Element) -> list[tuple[str, F64]]:
    """Return (T, 3, 3) corners of each part of a COLLADA geometry, with its material's symbol."""
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
    return [
        (faces.get("material", ""), _faces(faces, sources))
        for tag in ("triangles", "polylist")
        for faces in item.iter(tag)
    ]


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
