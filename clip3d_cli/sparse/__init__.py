"""Sparse convolution: plans, layers and the backends that compute them."""
