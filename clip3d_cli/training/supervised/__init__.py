"""Fine-tuning on labelled scans: losses, network and batches."""
