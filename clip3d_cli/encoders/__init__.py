"""Point networks that give every voxel a vector in a text space."""
