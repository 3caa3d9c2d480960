"""How many bytes an array in an untrusted file may claim, checked before memory is taken."""

from __future__ import annotations

from assay.system.limits import ARRAY_BYTES, ARRAY_FREE_BYTES, ARRAY_RATIO, DEFLATE_RATIO


def too_large(claimed: int, compressed: int | None) -> str:
    """Why an array of `claimed` bytes is not read from that many compressed bytes (None: plain); "" if it is.

    >>> too_large(10**10, 10**7)
    'claims 10,000,000,000 bytes; expected at most 4 GiB'
    >>> too_large(10**9, 10**6)
    'claims 1,000,000,000 bytes from 1,000,000 compressed bytes; expected at most 100 times as many'
    """
    if claimed > ARRAY_BYTES.most:
        return f"claims {claimed:,} bytes; expected at most {ARRAY_BYTES}"
    if compressed is None:
        return ""
    if claimed > DEFLATE_RATIO.most * compressed:
        return f"claims {claimed:,} bytes, but {compressed:,} compressed bytes hold at most {DEFLATE_RATIO.most} times as many"
    if claimed > max(ARRAY_FREE_BYTES.most, ARRAY_RATIO.most * compressed):
        return (
            f"claims {claimed:,} bytes from {compressed:,} compressed bytes; "
            f"expected at most {ARRAY_RATIO.most} times as many"
        )
    return ""
