"""Item response functions: log probabilities of the categories of an item, given the latent trait."""

from jmix.items.bank import ItemBank
from jmix.items.derivatives import eta_derivatives
from jmix.items.kind import Kind
from jmix.items.kinds import KINDS, kind_of

__all__ = ["KINDS", "ItemBank", "Kind", "eta_derivatives", "kind_of"]
