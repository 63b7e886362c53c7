"""Pretraining by CLIP2Scene (Chen et al., CVPR 2023): losses, targets, network and batches."""
