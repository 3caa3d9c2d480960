"""What no refactoring may change: keys, names, commands, file formats, and the bits of the native engine.

`python -m tests.golden` writes the files anew. A change in them is a change of an interface: it needs a migration or a
new number of numerics, and a line in the changelog.
"""
