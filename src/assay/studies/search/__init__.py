"""Searches: designs whose next configuration is decided from the scores of earlier ones (ask and tell)."""
