"""The colours can be told apart, by colour-blind readers too."""

import itertools

import numpy as np
import pytest
from colorspacious import cspace_convert, deltaE
from matplotlib.colors import to_rgb

from mfutils import plots

COLOURS = {name: to_rgb(getattr(plots, name)) for name in ("DATA", "NOISE", "SAMPLES", "ACCENT", "INK")}
COLOURS["page"] = 1, 1, 1
CLOUDS = {"DATA", "NOISE", "SAMPLES", "page"}


@pytest.mark.parametrize("blindness", ["protanomaly", "deuteranomaly", "tritanomaly"])
def test_colours_differ_under_full_colour_blindness(blindness):
    """Simulated after Machado et al. (2009). A difference of 1 in CAM02-UCS is just visible; we ask for 8, and for 20
    between those of the clouds, whose dots are small and lie on each other."""
    how = {"name": "sRGB1+CVD", "cvd_type": blindness, "severity": 100}
    seen = {name: np.clip(cspace_convert(rgb, how, "sRGB1"), 0, 1) for name, rgb in COLOURS.items()}
    for one, other in itertools.combinations(seen, 2):
        difference = deltaE(seen[one], seen[other], input_space="sRGB1")
        assert difference > (20 if {one, other} <= CLOUDS else 8), (one, other)
