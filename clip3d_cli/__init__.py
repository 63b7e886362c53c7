"""clip3d labels any point cloud by words."""

__version__ = "0.1.0"
