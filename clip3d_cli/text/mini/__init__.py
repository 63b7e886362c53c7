"""The text encoder that is shipped with clip3d: no download and no PyTorch."""
