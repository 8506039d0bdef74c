"""Item responses as arrays: reading, checking, collapsing. Knows nothing of models."""

from jmix.responses.checks import check_responses
from jmix.responses.data import MISSING, Long, Responses
from jmix.responses.read import read_responses

__all__ = ["MISSING", "Long", "Responses", "check_responses", "read_responses"]
