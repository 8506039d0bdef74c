"""Numerical work behind inference: degrees of freedom, profiles, batches of refits, simulated null distributions."""
