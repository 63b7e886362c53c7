"""Headless float32 files of KITTI and nuScenes."""
