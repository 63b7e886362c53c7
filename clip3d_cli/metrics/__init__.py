"""Evaluation scores: confusion counts, IoU and accuracy, panoptic quality."""
