"""SemanticKITTI in its official layout."""
