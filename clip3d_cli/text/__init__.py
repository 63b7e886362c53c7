"""Words to unit vectors."""
