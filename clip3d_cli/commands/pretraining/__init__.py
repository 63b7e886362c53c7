"""``clip3d pretrain``: what it has that other trainings have not."""
