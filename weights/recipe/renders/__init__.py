"""Simulated street scenes with rendered images, and a small image-text model trained on them."""
