"""Training of the mini text encoder from stored CLIP vectors, MiniLM and WordNet."""
