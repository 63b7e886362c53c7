"""Backend for NVIDIA GPUs through Triton."""
