"""What clip3d does, one module per job."""
