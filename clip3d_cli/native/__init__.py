"""The compiled engine for CPUs: its C sources, their building, and the calls into them."""
