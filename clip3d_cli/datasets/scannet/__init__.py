"""ScanNet v2 in its official layout."""
