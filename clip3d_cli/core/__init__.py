"""Types and algorithms that all packages use: clouds, voxels, cameras, vocabularies, labels."""
