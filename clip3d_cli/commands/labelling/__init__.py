"""``clip3d label``: the main job."""
