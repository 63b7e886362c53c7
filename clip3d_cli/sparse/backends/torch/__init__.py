"""Reference backend in plain PyTorch."""
