"""``clip3d info``, ``vocabularies`` and ``doctor``: they look, and change nothing."""
