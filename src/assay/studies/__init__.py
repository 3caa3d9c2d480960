"""Studies: many recipes from one baseline, by axes of named patches and a design."""
