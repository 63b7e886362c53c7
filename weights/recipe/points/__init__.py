"""How the default point weights are trained: words, scans, batches, and the judge."""
