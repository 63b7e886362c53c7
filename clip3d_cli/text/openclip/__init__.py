"""Text encoders of open_clip models, from its model hub or from a folder."""
