"""ScanNet v2 and ScanNet200 in their official layout."""
