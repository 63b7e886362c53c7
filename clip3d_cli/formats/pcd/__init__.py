"""PCD files."""
