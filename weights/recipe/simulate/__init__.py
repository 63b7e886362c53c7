"""Labelled scans of invented places, seen by simulated sensors, from a seed alone."""
