"""Examples that hypothesis makes take as long as the machine is busy: no deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("assay", deadline=None)
settings.load_profile("assay")
