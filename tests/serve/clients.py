"""A client of the live page of a store, as the browser that has opened its first address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

from assay.serve.app import LivePage
from assay.serve.guard import Guard
from assay.serve.watched import WatchedStore

PORT, TOKEN = 8421, "secret-token"


@dataclass(frozen=True)
class Answer:
    status_code: int
    headers: dict[str, str]
    content: bytes

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)


class Client:
    """Sends requests to an app without a network, and keeps its cookie."""

    def __init__(self, app: Any, store: WatchedStore) -> None:
        self.app, self.store, self.cookie = app, store, ""

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        path, _, query = path.partition("?")
        query = urlencode(params) if params else query
        sent = {"host": f"127.0.0.1:{PORT}"} | ({"cookie": self.cookie} if self.cookie else {}) | dict(headers or {})
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", PORT),
        }
        messages: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            messages.append(message)

        asyncio.run(self.app(scope, receive, send))
        pairs = {name.decode().lower(): value.decode() for name, value in messages[0]["headers"]}
        if "set-cookie" in pairs:
            self.cookie = pairs["set-cookie"].partition(";")[0]
        content = b"".join(message.get("body", b"") for message in messages[1:])
        return Answer(messages[0]["status"], pairs, content)


def stranger(url: str | Path) -> Client:
    """A browser that does not know the token."""
    store = WatchedStore(str(url))
    return Client(Guard(LivePage(store).app(), token=TOKEN, port=PORT), store)


def client(url: str | Path) -> Client:
    """A browser that has opened the first address."""
    made = stranger(url)
    assert made.get("/", params={"token": TOKEN}).status_code == 303
    return made
