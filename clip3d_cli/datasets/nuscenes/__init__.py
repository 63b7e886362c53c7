"""nuScenes with lidarseg and panoptic labels in its official layout."""
