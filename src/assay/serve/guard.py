"""Who may read the live page: requests of this machine's browser that know the token, and nobody else's pages."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_PARAMETER = "token"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Guard:
    """Lets a request through to the app if its Host, its Origin and its cookie are right.

    The first address carries the token. The answer to it sets a cookie and redirects to the same address without the
    token, so that an address that is copied from the browser does not carry it.

    Args:
        app: What is guarded.
        token: The secret of the first address.
        port: Where the server listens.
        hosts: Names and addresses under which it may be asked for, next to those of the machine itself.
        any_address: Whether any IP address is such a name: the server listens on all of them. A page of another site
            can point a name of its own at this machine, but not an address.
    """

    def __init__(
        self, app: ASGIApp, *, token: str, port: int, hosts: Sequence[str] = (), any_address: bool = False
    ) -> None:
        self._app, self._token, self._any_address = app, token, any_address
        self._hosts = {f"{host.lower()}:{port}" for host in (*_LOOPBACK, *hosts)}
        self._port, self._cookie = port, f"assay-{port}"  # cookies know no ports

    @property
    def _session(self) -> str:
        """The value of the cookie, from which the token cannot be found."""
        return hashlib.blake2b(self._token.encode(), person=b"assay-cookie", digest_size=32).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message["headers"] if pair[0].decode().lower() not in _HEADERS]
                message["headers"] = [*headers, *((k.encode(), v.encode()) for k, v in _HEADERS.items())]
            await send(message)

        answer = self._refusal(Request(scope)) or self._swapped(Request(scope)) or self._unknown(Request(scope))
        await (answer or self._app)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that no page of this server makes."""
        host, origin = request.headers.get("host", "").lower(), request.headers.get("origin")
        if not self._is_own(host):
            return _sentence(
                403, f"This server does not answer to the name {host!r}: open the address that `assay serve` printed."
            )
        if origin is not None and origin.lower() != f"http://{host}":
            return _sentence(403, "This request comes from a page of another site, which may read nothing here.")
        is_visit = request.headers.get("sec-fetch-mode", "navigate") == "navigate"
        if request.headers.get("sec-fetch-site") == "cross-site" and not is_visit:
            return _sentence(403, "This request comes from a page of another site, which may read nothing here.")
        if request.method not in ("GET", "HEAD"):
            return _sentence(405, "This server only shows: it takes GET and HEAD requests.")
        return None

    def _is_own(self, host: str) -> bool:
        if host in self._hosts:
            return True
        name, _, port = host.rpartition(":")
        if not self._any_address or port != str(self._port):
            return False
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _swapped(self, request: Request) -> Response | None:
        """The redirect from an address with the right token to the same one without it, with the cookie."""
        given = request.query_params.get(_PARAMETER)
        if given is None or not hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        rest = [pair for pair in parse_qsl(request.url.query, keep_blank_values=True) if pair[0] != _PARAMETER]
        path = "/" + quote(request.url.path.lstrip("/"), safe="/%")  # two slashes would name another host
        answer = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), status_code=303)
        answer.set_cookie(self._cookie, self._session, httponly=True, samesite="lax", path="/")
        answer.headers["cache-control"] = "no-store"
        return answer

    def _unknown(self, request: Request) -> Response | None:
        """The answer to a request without the cookie."""
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            cookie = None
        if cookie is not None and hmac.compare_digest(cookie.value.encode(), self._session.encode()):
            return None
        return _sentence(
            401,
            "This page needs a token. Open the address that `assay serve` printed, with ?token=... at its end; "
            "this browser then remembers it, and this address works.",
        )


def _sentence(status: int, text: str) -> Response:
    return PlainTextResponse(text + "\n", status_code=status, headers={"cache-control": "no-store"})


__all__ = ["POLICY", "Guard"]
