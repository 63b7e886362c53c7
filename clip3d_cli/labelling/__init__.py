"""Labelling of point clouds: models, tiles and the labels of every point."""
