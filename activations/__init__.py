"""Activations: one batched forward pass to the chosen positions (`capture`), kept in HDF5 (`store`, FORMAT.md)."""
