"""Power of a design by simulation."""
