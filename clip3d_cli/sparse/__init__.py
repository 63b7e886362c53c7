"""Sparse convolution: packed voxel keys, kernel maps, layers, and interchangeable backends."""
