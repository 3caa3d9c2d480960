from __future__ import annotations

from pathlib import Path

import pytest

from tests.serve.clients import PORT, TOKEN, client, stranger


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "none.db"


def test_the_token_is_swapped_for_a_cookie_and_leaves_the_address(store: Path) -> None:
    answer = stranger(store).get("/study/a", params={"token": TOKEN, "q": "x=1", "x": "seconds"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/study/a?q=x%3D1&x=seconds"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert f"assay-{PORT}=" in cookie
    assert TOKEN not in cookie


def test_the_redirect_stays_on_this_server(store: Path) -> None:
    answer = stranger(store).get("//evil.example/", params={"token": TOKEN})
    assert answer.headers["location"] == "/evil.example/"


@pytest.mark.parametrize("path", ["/", "/events", "/assets/page.js", "/study/a", "/trial/abcd", "/part/overview"])
@pytest.mark.parametrize("query", ["", "?token=wrong", "?token="])
def test_without_the_token_nothing_is_shown(path: str, query: str, store: Path) -> None:
    answer = stranger(store).get(path + query)
    assert answer.status_code == 401
    assert answer.text.startswith("This page needs a token.")
    assert "none.db" not in answer.text


def test_a_cookie_of_another_value_is_refused(store: Path) -> None:
    for value in (TOKEN, "", "0" * 64):
        assert stranger(store).get("/", headers={"cookie": f"assay-{PORT}={value}"}).status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", f"evil.example:{PORT}", "127.0.0.1:80", f"10.0.0.1:{PORT}", ""]
)
def test_another_host_is_refused(host: str, store: Path) -> None:
    answer = client(store).get("/", headers={"host": host})
    assert answer.status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_is_refused(origin: str, store: Path) -> None:
    answer = client(store).get("/", headers={"origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_of_another_site_cannot_embed_an_answer(store: Path) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client(store).get("/assets/icon.svg", headers=headers).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_sent(method: str, store: Path) -> None:
    assert client(store).request(method, "/").status_code == 405


@pytest.mark.parametrize("path", ["/", "/assets/page.js", "/nothing", "/study/none"])
def test_every_answer_has_the_strict_policy(path: str, store: Path) -> None:
    for answer in (client(store).get(path), stranger(store).get(path)):
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
