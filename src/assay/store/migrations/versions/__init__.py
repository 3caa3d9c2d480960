"""The store's schema, version by version. A version that has been released is never edited."""
