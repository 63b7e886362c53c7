"""LAS and LAZ files."""
