"""The machine and its operating system: description, files, signals, the lock of isolated trials."""
