"""The numbers on the axes of all pictures.

plotnine writes a number that stands alone on an axis without decimals (0.752 as 1), and very small ones as zeros. Here they have
all their decimals, whether a picture states a scale or plotnine adds one.
"""

from __future__ import annotations

from typing import Any

from mizani.transforms import identity_trans
from plotnine.scales.scale_xy import scale_position_continuous
from plotnine.scales.scales import Scales

from multilevel.plot.style import axis_numbers


class NumberedScales(Scales):
    """The scales of a picture; those of axes write their numbers by `axis_numbers` unless they say how."""

    def append(self, sc: Any) -> None:
        """Add a scale."""
        own = isinstance(sc, scale_position_continuous) and sc.labels is True
        if own and isinstance(sc._trans, identity_trans):
            sc.labels = axis_numbers
        super().append(sc)


class NumberedAxes:
    """What a picture's axes are numbered by when it is added to the picture."""

    def __radd__(self, picture: Any) -> Any:
        """Put the scales in the place of the picture's."""
        scales = NumberedScales()
        for scale in picture.scales:
            scales.append(scale)
        picture.scales = scales
        return picture
