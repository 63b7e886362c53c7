"""clip3d labels point clouds by words.

The names below are the public Python interface; importing the package loads neither numpy nor
PyTorch until one of them is used.

    import clip3d_cli as clip3d

    labeller = clip3d.Labeller.open()
    cloud = clip3d.read_cloud("scan.laz")
    labels = labeller.label(cloud, ["road", "car=sedan|van", "tree"])
    clip3d.write_labels(labels, "scan.laz", "out.laz")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clip3d_cli.core.embeddings import ClassEmbeddings, FeatureSpace
    from clip3d_cli.core.labels import Labels
    from clip3d_cli.core.point_cloud import PointCloud
    from clip3d_cli.core.vocabulary import SemanticClass, Vocabulary, load_vocabulary
    from clip3d_cli.errors import Clip3DError, InputError, OutputError, SetupError, UsageError
    from clip3d_cli.formats.cloud_file import CloudFile, open_cloud, read_cloud, write_labels
    from clip3d_cli.labelling.class_counts import ClassCount, count_classes
    from clip3d_cli.labelling.label import VoxelFeatures
    from clip3d_cli.labelling.labeller import Labeller

__version__ = "0.1.0"

_MODULE_OF_NAME = {
    "ClassCount": "clip3d_cli.labelling.class_counts",
    "ClassEmbeddings": "clip3d_cli.core.embeddings",
    "SemanticClass": "clip3d_cli.core.vocabulary",
    "Clip3DError": "clip3d_cli.errors",
    "CloudFile": "clip3d_cli.formats.cloud_file",
    "FeatureSpace": "clip3d_cli.core.embeddings",
    "InputError": "clip3d_cli.errors",
    "Labeller": "clip3d_cli.labelling.labeller",
    "Labels": "clip3d_cli.core.labels",
    "OutputError": "clip3d_cli.errors",
    "PointCloud": "clip3d_cli.core.point_cloud",
    "SetupError": "clip3d_cli.errors",
    "UsageError": "clip3d_cli.errors",
    "Vocabulary": "clip3d_cli.core.vocabulary",
    "VoxelFeatures": "clip3d_cli.labelling.label",
    "count_classes": "clip3d_cli.labelling.class_counts",
    "load_vocabulary": "clip3d_cli.core.vocabulary",
    "open_cloud": "clip3d_cli.formats.cloud_file",
    "read_cloud": "clip3d_cli.formats.cloud_file",
    "write_labels": "clip3d_cli.formats.cloud_file",
}

__all__ = [
    "ClassCount",
    "ClassEmbeddings",
    "Clip3DError",
    "CloudFile",
    "FeatureSpace",
    "InputError",
    "Labeller",
    "Labels",
    "OutputError",
    "PointCloud",
    "SemanticClass",
    "SetupError",
    "UsageError",
    "Vocabulary",
    "VoxelFeatures",
    "__version__",
    "count_classes",
    "load_vocabulary",
    "open_cloud",
    "read_cloud",
    "write_labels",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    module = _MODULE_OF_NAME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF_NAME])
