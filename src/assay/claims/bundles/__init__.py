"""Bundles: a study with its data, claims and report in one file, which anyone can verify."""
