"""From a file to windows and shards: readers, catalog, windows, quality, store, prepare (numpy, no torch)."""
