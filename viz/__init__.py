"""Figures and the report: tidy tables in, matplotlib axes, figures or one HTML page out.

Nothing here opens a study, computes a probe or keeps global state of matplotlib. There is a module per kind of figure:
`plot_X(ax, rows)` draws one panel and returns its axes, `X_figure(table)` composes the figure. `style.figure_style`
sets the theme and the width of both, `save.save_figure` writes them.
"""
