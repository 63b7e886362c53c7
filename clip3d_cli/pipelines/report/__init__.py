"""Reports on training runs and evaluations."""
