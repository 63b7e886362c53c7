"""``clip3d finetune``: what it has that other trainings have not."""
