"""Studies: a design combines the named patches of several axes into recipes that share a baseline."""
