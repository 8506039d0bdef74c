"""Effect sizes: ICC, R-squared, shares of variance, collinearity."""
