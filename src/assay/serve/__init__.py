"""The live page: a read-only server of a store's studies, which a browser watches while they run."""
