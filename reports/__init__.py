"""The report of a run: one page of its tables, figures and caches."""
