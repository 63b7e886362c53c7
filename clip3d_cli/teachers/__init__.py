"""Frozen image models that give every part of an image a vector in a text space."""
