"""The methods of a fit by topic; each hands over to the module that does the work."""
