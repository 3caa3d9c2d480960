"""Recipes: what to train, as frozen plain data."""
