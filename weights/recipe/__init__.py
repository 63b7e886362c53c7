"""How the shipped weights were made: training code, never imported by the package."""
