"""The store: trials, results, studies and artifacts in SQLite or PostgreSQL; none twice, none lost."""
