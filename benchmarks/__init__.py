"""Peers of the engines: what a competent user of each library would write, timed against the engines."""
