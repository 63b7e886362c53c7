"""Fine-tuning on labelled scans."""
