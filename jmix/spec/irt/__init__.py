"""Item response models."""

from jmix.spec.irt.build import build_spec
from jmix.spec.irt.frame import parameter_frame
from jmix.spec.irt.spec import IrtSpec, full_vector, unpack

__all__ = ["IrtSpec", "build_spec", "full_vector", "parameter_frame", "unpack"]
