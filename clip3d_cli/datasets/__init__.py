"""Data sets in their official layouts: scenes with posed images and ground truth."""
