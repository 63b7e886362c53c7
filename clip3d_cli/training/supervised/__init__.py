"""Training from labelled scans: model, batches and the Lovász loss."""
