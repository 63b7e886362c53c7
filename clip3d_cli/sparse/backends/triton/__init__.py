"""The backend that runs on NVIDIA GPUs through Triton."""
