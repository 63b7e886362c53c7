"""Backend of the native library (C) for PyTorch tensors on CPUs."""
