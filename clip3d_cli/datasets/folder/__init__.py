"""Your own scans and images, in the layout of docs/folder.md."""
