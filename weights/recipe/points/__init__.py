"""Training and evaluation of the default point weights: taxonomy, scans, batches, training."""
