"""The backends of sparse convolution, one kind of hardware or library each."""
