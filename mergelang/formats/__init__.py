"""Checkpoints: strict readers, writers that never leave half a model, and the dtypes between them."""
