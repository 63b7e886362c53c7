"""Text encoders: unit vectors of words, templates around words, and CLIP's tokenizer."""
