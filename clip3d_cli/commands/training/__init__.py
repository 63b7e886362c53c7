"""What all commands that train share."""
