"""Training by a program of the user: the folder that it is given, its process, and what it says while it trains."""
