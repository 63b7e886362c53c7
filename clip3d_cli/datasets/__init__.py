"""Scenes with truth, read from their published layouts."""
