"""What pretraining and fine-tuning share: configuration, start and run."""
