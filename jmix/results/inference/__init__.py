"""What follows a fit: tests, intervals, refits, means and effects, effect sizes, checks, tables and plots."""
