"""ScanNet200 in its official layout."""
