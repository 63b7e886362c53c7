"""MinkUNet inference on the compiled CPU engine, without PyTorch."""
