"""store -> windows -> model -> store.copy: vectors of variants. Nothing here imports torch until a model is loaded."""
