"""The read way: HTTP -> field -> link -> store read. Imports the store and nothing of the loaders."""
