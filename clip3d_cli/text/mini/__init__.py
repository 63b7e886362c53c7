"""The embedded text encoder: no download and no PyTorch."""
