"""Pictures of a fit, and of groups before a fit."""
