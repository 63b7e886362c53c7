"""Point cloud files: read, inspected, and written back with labels."""
