"""``clip3d eval`` and ``clip3d report``: how good answers are, and how trainings went."""
