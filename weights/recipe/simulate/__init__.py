"""Simulated labelled scans of streets, towns and rooms, each determined by a seed."""
