"""All that can be asked of a fitted mixed model, linear or generalized, beyond its estimates."""

from __future__ import annotations

from jmix.results.inference.faces.bootstrap import BootstrapFace
from jmix.results.inference.faces.checks import ChecksFace
from jmix.results.inference.faces.compare import CompareFace
from jmix.results.inference.faces.effects import EffectsFace
from jmix.results.inference.faces.means import MeansFace
from jmix.results.inference.faces.plots import PlotsFace
from jmix.results.inference.faces.profile import ProfileFace
from jmix.results.inference.faces.tests import TestsFace


class InferentialFit(TestsFace, CompareFace, ProfileFace, BootstrapFace, MeansFace, EffectsFace, ChecksFace, PlotsFace):
    """A fit with tests, intervals, refits, means, effect sizes, checks and plots."""
