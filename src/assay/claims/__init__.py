"""Claims as data: sentences with a rule that is fixed before anything runs, judged from stored results."""
