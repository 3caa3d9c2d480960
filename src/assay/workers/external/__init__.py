"""Training by an external program: its folder, its process, and the curve that it reports."""
