"""From a plan to its end: the study loop, estimates, sequential looks, and fit in the caller's process."""
