"""Triangles for Embree without a copy.

embreex copies every coordinate with a Python call, which takes longer than Embree takes to build
its search tree: a third of the time of a simulated scan. Embree itself can read a numpy array.
"""

import ctypes
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import embreex
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from weights.recipe.simulate.primitives import F32

# The release whose objects are known to be laid out as its ``rtcore_scene.pxd`` says: Python's own
# two words, then Embree's handle of the scene.
_KNOWN_RELEASE = "4.4.0.post1"
_HANDLE_OFFSET = 16

# Constants of Embree's C interface, ``rtcore_geometry.h`` and ``rtcore_buffer.h``.
_TRIANGLES, _INDICES, _CORNERS = 0, 0, 1
_UINT3, _FLOAT3 = 0x5003, 0x9003


def add_triangles(scene: EmbreeScene, triangles: F32) -> list[object]:
    """Add (T, 3, 3) triangles to an empty scene and return what must outlive the scene."""
    library = _embree()
    if library is None or not len(triangles):
        return [TriangleMesh(scene, np.ascontiguousarray(triangles))]
    # Embree reads 16 bytes where a corner has 12, so the array is one corner longer.
    corners = np.zeros((3 * len(triangles) + 1, 3), dtype=np.float32)
    corners[:-1] = triangles.reshape(-1, 3)
    indices = np.arange(3 * len(triangles), dtype=np.uint32)
    handle = ctypes.c_void_p.from_address(id(scene) + _HANDLE_OFFSET)
    device = library.rtcGetSceneDevice(handle)
    geometry = library.rtcNewGeometry(device, _TRIANGLES)
    _share(library, geometry, (_CORNERS, _FLOAT3), corners, 3 * len(triangles))
    _share(library, geometry, (_INDICES, _UINT3), indices, len(triangles))
    library.rtcCommitGeometry(geometry)
    library.rtcAttachGeometry(handle, geometry)
    library.rtcReleaseGeometry(geometry)
    library.rtcReleaseDevice(device)
    return [corners, indices]


def _share(
    library: ctypes.CDLL,
    geometry: int,
    kind: tuple[int, int],
    array: NDArray[np.float32] | NDArray[np.uint32],
    count: int,
) -> None:
    """Let a geometry read ``count`` items of 12 bytes from an array, as a (use, format)."""
    library.rtcSetSharedGeometryBuffer(
        geometry, kind[0], 0, kind[1], array.ctypes.data, 0, 12, count
    )


@lru_cache(maxsize=1)
def _embree() -> ctypes.CDLL | None:
    """Return the library that embreex has loaded, or None if it is another release."""
    folder = Path(embreex.__file__).parent.parent / "embreex.libs"
    files = sorted(folder.glob("libembree4*"))
    if version("embreex") != _KNOWN_RELEASE or len(files) != 1:
        return None
    library = ctypes.CDLL(str(files[0]))
    pointer, number, size = ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t
    signatures = {
        "rtcGetSceneDevice": (pointer, [pointer]),
        "rtcNewGeometry": (pointer, [pointer, ctypes.c_int]),
        "rtcSetSharedGeometryBuffer": (
            None,
            [pointer, ctypes.c_int, number, ctypes.c_int, pointer, size, size, size],
        ),
        "rtcCommitGeometry": (None, [pointer]),
        "rtcAttachGeometry": (number, [pointer, pointer]),
        "rtcReleaseGeometry": (None, [pointer]),
        "rtcReleaseDevice": (None, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        if not hasattr(library, name):
            return None
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
