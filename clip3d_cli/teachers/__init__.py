"""Frozen image models that give every patch of an image a vector in the space of a text encoder."""
