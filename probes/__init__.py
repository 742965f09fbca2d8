"""Pure analysis of cached states and answers: arrays in, tidy tables with intervals and tests out.

Nothing here opens a file, loads a model, draws, prints or keeps state; torch is needed by the lenses alone, and each
probe is imported from its own module so that a light one does not pay for a heavy one.
"""
