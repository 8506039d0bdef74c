"""Groups before any model: sizes, means, variance between and within."""
