"""Headless float32 tables of KITTI and nuScenes."""
