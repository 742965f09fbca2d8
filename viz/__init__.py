"""Figures and the report: tidy tables in, matplotlib axes, figures or one HTML page out.

Nothing here opens a study, computes a probe or keeps global state of matplotlib. Import what you need from its module:
`accuracy`, `logit_lens`, `projection`, `alignment`, `training`, `report`, `save`, `style`.
"""
