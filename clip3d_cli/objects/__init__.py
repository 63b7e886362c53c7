"""Objects: what belongs together in a labelled cloud."""
