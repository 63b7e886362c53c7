"""open_clip models, and the folders that hold one."""
