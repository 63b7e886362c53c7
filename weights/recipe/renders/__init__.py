"""Simulated street scenes with images, and a small image-text model taught on such images."""
