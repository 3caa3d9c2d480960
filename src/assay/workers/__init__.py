"""Executors: processes that train jobs, so that a crash or a full memory takes one trial with it and no more."""
