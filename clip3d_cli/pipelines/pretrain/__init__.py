"""Pretraining from posed images, and the check before it."""
