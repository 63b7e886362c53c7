"""Scores: confusion counts and what is read from them."""
