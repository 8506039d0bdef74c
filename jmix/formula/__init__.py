"""The formula language: text to parsed formula, parsed formula and data to matrices."""

from jmix.formula.encoding import Encoding, NewDesign, NewTerm
from jmix.formula.parse import ParsedFormula, RandomPart, parse_formula

__all__ = ["Encoding", "NewDesign", "NewTerm", "ParsedFormula", "RandomPart", "parse_formula"]
