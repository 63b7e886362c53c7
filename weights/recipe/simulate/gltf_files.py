"""Reader of glTF 2.0 files (.glb, .gltf): triangles, their colours, and the names of their parts."""

import base64
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weights.recipe.simulate.materials import to_srgb
from weights.recipe.simulate.primitives import F32, F64, U8

# From glTF's y up to z up.
_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
_DTYPE = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TRIANGLES = 4
_JSON_CHUNK_START = 20


@dataclass(frozen=True, slots=True)
class PartTriangles:
    """Triangles of a file, with the colour and the name of the part that each belongs to.

    Attributes:
        triangles: (T, 3, 3) float32 in the file's unit, z up.
        color: (T, 3) uint8 sRGB.
        part: (T,) int64, an index into ``part_names``.
        part_names: "node/material" in lower case.
    """

    triangles: F32
    color: U8
    part: NDArray[np.int64]
    part_names: tuple[str, ...]


def read_gltf(path: Path) -> PartTriangles:
    """Return all triangles of a .glb or .gltf file; textures are ignored.

    Raises:
        ValueError: the file has no triangles.
    """
    document, chunk = _document(path)
    buffers = [_buffer(entry, path, chunk) for entry in document["buffers"]]
    parts: list[tuple[F32, U8, str]] = []
    scene = document["scenes"][document.get("scene", 0)]
    for root in scene["nodes"]:
        _collect(document, buffers, root, np.eye(4), parts)
    if not parts:
        raise ValueError(f"{path}: no triangles: leave it out of the list of pieces")
    names = sorted({name for _, _, name in parts})
    return PartTriangles(
        np.concatenate([corners @ _Z_UP.T for corners, _, _ in parts]).astype(np.float32),
        np.concatenate([color for _, color, _ in parts]),
        np.concatenate([np.full(len(color), names.index(name)) for _, color, name in parts]),
        tuple(names),
    )


def _document(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the JSON document of a file and, for .glb, the bytes of its binary chunk."""
    raw = path.read_bytes()
    if path.suffix == ".gltf":
        document: dict[str, Any] = json.loads(raw)
        return document, b""
    (json_length,) = struct.unpack_from("<I", raw, 12)
    end = _JSON_CHUNK_START + json_length
    document = json.loads(raw[_JSON_CHUNK_START:end])
    # The binary chunk follows: four bytes of length, four of type.
    return document, raw[end + 8 :]


def _buffer(entry: dict[str, Any], path: Path, chunk: bytes) -> bytes:
    uri = entry.get("uri")
    if uri is None:
        return chunk
    if uri.startswith("data:"):
        return base64.b64decode(uri.split(",", 1)[1])
    return (path.parent / uri).read_bytes()


def _accessor(document: dict[str, Any], buffers: list[bytes], index: int) -> F32:
    """Return the (rows, width) values of an accessor, as stored."""
    accessor = document["accessors"][index]
    view = document["bufferViews"][accessor["bufferView"]]
    dtype = np.dtype(_DTYPE[accessor["componentType"]])
    width, count = _WIDTH[accessor["type"]], accessor["count"]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride") or dtype.itemsize * width
    raw = np.frombuffer(buffers[view["buffer"]], np.uint8)
    # (count, width · itemsize) bytes of each row, which interleaved buffers keep apart.
    rows = np.lib.stride_tricks.as_strided(
        raw[start:], (count, dtype.itemsize * width), (stride, 1)
    )
    return np.ascontiguousarray(rows).view(dtype).reshape(count, width)


def _collect(
    document: dict[str, Any],
    buffers: list[bytes],
    node_index: int,
    world_from_parent: F64,
    parts: list[tuple[F32, U8, str]],
) -> None:
    """Append the triangles of a node and of all nodes below it, in the scene's axes, to ``parts``.

    Args:
        document: the file's JSON.
        buffers: its buffers.
        node_index: the node.
        world_from_parent: (4, 4) transform of the node's parent.
        parts: list of corners (T, 3, 3), colours (T, 3) and part name to append to.
    """
    node = document["nodes"][node_index]
    world_from_node = world_from_parent @ _parent_from_node(node)
    if "mesh" in node:
        for primitive in document["meshes"][node["mesh"]]["primitives"]:
            if primitive.get("mode", _TRIANGLES) != _TRIANGLES:
                continue
            xyz = _accessor(document, buffers, primitive["attributes"]["POSITION"])
            if "indices" in primitive:
                order = _accessor(document, buffers, primitive["indices"]).astype(np.int64).ravel()
            else:
                order = np.arange(len(xyz))
            moved = xyz @ world_from_node[:3, :3].T + world_from_node[:3, 3]
            corners = moved[order].reshape(-1, 3, 3).astype(np.float32)
            color, material = _material(document, primitive)
            name = f"{node.get('name', '')}/{material}".lower()
            parts.append((corners, np.tile(color, (len(corners), 1)), name))
    for child in node.get("children", []):
        _collect(document, buffers, child, world_from_node, parts)


def _material(document: dict[str, Any], primitive: dict[str, Any]) -> tuple[U8, str]:
    """Return the (3,) sRGB base colour and the name of a primitive's material."""
    if "material" not in primitive:
        return np.array([170, 170, 170], dtype=np.uint8), ""
    material = document["materials"][primitive["material"]]
    linear = material.get("pbrMetallicRoughness", {}).get("baseColorFactor", [0.4, 0.4, 0.4, 1])
    return to_srgb(np.asarray(linear[:3], dtype=np.float32)), material.get("name", "")


def _parent_from_node(node: dict[str, Any]) -> F64:
    """Return the (4, 4) transform of a node."""
    if "matrix" in node:
        return np.asarray(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = node.get("rotation", [0.0, 0.0, 0.0, 1.0])
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    transform = np.eye(4)
    transform[:3, :3] = rotation * np.asarray(node.get("scale", [1.0, 1.0, 1.0]))
    transform[:3, 3] = node.get("translation", [0.0, 0.0, 0.0])
    return transform
