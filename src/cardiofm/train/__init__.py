"""Windows to weights: batches and augmentation, the objectives, and the one training loop (torch)."""
