"""Fetching against a server on loopback that breaks off, lies, and ignores ranges."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from assay.data import download
from assay.data.download import File, Remote, fetch
from assay.errors import DataError

CONTENT = bytes(range(256)) * 2000
PACKED = gzip.compress(CONTENT, mtime=0, compresslevel=1) + b""


class Server(BaseHTTPRequestHandler):
    ranges: ClassVar[bool] = True
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        folder = self.path.split("/")[1]
        if folder == "missing":
            self.send_error(404)
            return
        if folder == "away":
            self.send_response(302)
            self.send_header("Location", "ftp://127.0.0.1/toy.gz")
            self.end_headers()
            return
        body = gzip.compress(b"something else") if folder == "wrong" else PACKED
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        rest = body[start:]
        self.wfile.write(rest[: len(rest) // 2] if folder == "breaks" and not start else rest)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    file = File(hashlib.md5(PACKED).hexdigest(), hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(download.REMOTES, "toy", Remote((), {"toy.gz": file}))
    monkeypatch.setattr(Server, "ranges", True)
    Server.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_file_is_fetched_verified_and_not_fetched_again(address: str, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    folder = fetch("toy", folder=tmp_path, mirrors=[f"{address}/good"], progress=lambda *step: seen.append(step))
    assert (folder / "toy.gz").read_bytes() == PACKED
    assert seen[-1] == ("toy.gz", len(PACKED), len(PACKED))
    fetch("toy", folder=tmp_path, mirrors=[f"{address}/good"])
    assert len(Server.asked) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["toy.gz"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_is_continued(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: bool
) -> None:
    with pytest.raises(DataError, match="breaks/toy.gz"):
        fetch("toy", folder=tmp_path, mirrors=[f"{address}/breaks"])
    half = (tmp_path / "toy.gz.part").stat().st_size
    assert 0 < half < len(PACKED)
    monkeypatch.setattr(Server, "ranges", ranges)
    fetch("toy", folder=tmp_path, mirrors=[f"{address}/good"])
    assert (tmp_path / "toy.gz").read_bytes() == PACKED
    assert Server.asked[-1][1] == f"bytes={half}-"


def test_a_part_that_was_wrong_is_fetched_anew(address: str, tmp_path: Path) -> None:
    (tmp_path / "toy.gz.part").write_bytes(b"nonsense")
    fetch("toy", folder=tmp_path, mirrors=[f"{address}/good"])
    assert (tmp_path / "toy.gz").read_bytes() == PACKED


def test_the_next_mirror_is_taken_and_every_reason_is_told(address: str, tmp_path: Path) -> None:
    fetch("toy", folder=tmp_path / "a", mirrors=[f"{address}/missing", f"{address}/wrong", f"{address}/good"])
    assert (tmp_path / "a" / "toy.gz").read_bytes() == PACKED
    with pytest.raises(DataError) as caught:
        fetch("toy", folder=tmp_path / "b", mirrors=[f"{address}/missing", f"{address}/wrong", f"{address}/away"])
    assert "404" in str(caught.value)
    assert "SHA-256" in str(caught.value)
    assert "only http and https" in str(caught.value)
    assert not (tmp_path / "b" / "toy.gz").exists()


def test_content_packed_anew_is_good_and_md5_alone_decides_where_it_is_all(tmp_path: Path) -> None:
    other = gzip.compress(CONTENT, mtime=1, compresslevel=9)
    (tmp_path / "a").write_bytes(other)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert download._mismatch(tmp_path / "a", File("0" * 32, sha256)) is None
    assert "MD5" in (download._mismatch(tmp_path / "a", File("0" * 32)) or "")
    assert download._mismatch(tmp_path / "a", File(hashlib.md5(other).hexdigest())) is None


def test_a_server_that_sends_too_much_is_stopped(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_MAX_BYTES", 100)
    with pytest.raises(DataError, match="stopped"):
        fetch("toy", folder=tmp_path, mirrors=[f"{address}/good"])


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(DataError, match="did you mean 'mnist'"):
        fetch("mnst")


def test_two_fetches_at_once_both_succeed(address: str, tmp_path: Path) -> None:
    def work() -> Path:
        return fetch("toy", folder=tmp_path, mirrors=[f"{address}/good"])

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(work) for _ in range(4)]:
            task.result()
    assert len(Server.asked) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["toy.gz"]
