"""A model run with its residual stream read and changed on the way, on TransformerLens."""
