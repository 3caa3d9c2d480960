"""`assay tag`: words of your own on a stored study."""

from __future__ import annotations


def tag() -> None:
    """Tag a stored study with words of your own, or show its tags."""
