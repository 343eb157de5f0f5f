"""Files into the store: each format has a reader that yields `store.copy.Chunk`s, and run.py writes them."""
