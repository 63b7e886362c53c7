"""The types that all rooms share: clouds, voxels, words, labels."""
