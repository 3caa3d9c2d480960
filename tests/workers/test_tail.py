"""The end of what a worker writes to standard error."""

from __future__ import annotations

import os

from assay.workers.tail import BYTES, Tail


def test_the_end_is_kept_and_earlier_work_forgotten() -> None:
    read_end, write_end = os.pipe()
    tail = Tail(read_end)
    assert tail.text() == ""  # it waits for nothing
    os.write(write_end, b"of the first trial\n")
    tail.begin()
    os.write(write_end, "na\0ïve \N{SNOWMAN}\n".encode() + b"\xff")
    assert tail.text() == "naïve ☃\n�"
    tail.begin()
    for number in range(200):
        os.write(write_end, f"{number:04}".encode() + b"x" * 1020)
        tail.read()
    os.close(write_end)
    text = tail.text()
    assert (len(text), text[:7], text[-1024:-1020]) == (BYTES + 3, "...0136", "0199")
    assert not tail.is_open
    assert tail.text() == text
