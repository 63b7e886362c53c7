"""What pretraining and fine-tuning share: config, run folder and loop."""
