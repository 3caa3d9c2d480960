"""The components of a training, one table for each kind; no engine is used here."""
