"""Where tests find the real MNIST, if it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def mnist_folder() -> Path:
    """The folder in ASSAY_TEST_MNIST, else the one beside the checkout; the test is skipped where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"
    folder = Path(os.environ.get("ASSAY_TEST_MNIST", beside))
    if not folder.is_dir():
        pytest.skip("the real MNIST is not there: set ASSAY_TEST_MNIST to a folder of its IDX files")
    return folder
