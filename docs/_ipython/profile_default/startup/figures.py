"""What every executed page of the site starts with: pictures at twice the pixels of the screen, in light files."""

import plotnine as _plotnine

_plotnine.options.figure_format = "retina"
_plotnine.options.dpi = 90
