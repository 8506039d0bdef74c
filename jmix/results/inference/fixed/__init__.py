"""What is asked of the fixed effects: degrees of freedom, tests, analysis of variance."""
