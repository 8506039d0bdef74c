"""Profile likelihood, and the choice of intervals."""
