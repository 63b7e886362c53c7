"""Your own scans and images, in the layout of docs/guides/own-data.md."""
