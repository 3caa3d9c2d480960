"""Executes plans: the study loop, time estimates, sequential looks, and `fit` in the caller's process."""
