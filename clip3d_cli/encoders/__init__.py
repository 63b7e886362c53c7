"""Point networks, their weights files, and the encoders that run them."""
