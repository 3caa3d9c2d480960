"""The addresses of the live page: each answer is made from the store as it is at that moment."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from assay.articles import article_names
from assay.errors import AssayError, NotStoredError, StoreError, unknown
from assay.report.charts.writing import rows_of
from assay.report.page import page as report_page
from assay.report.text import file_stem, frame_csv
from assay.serve import assets
from assay.serve.article import article_parts, bench_parts, bench_spec
from assay.serve.cached import Cache, Made
from assay.serve.compare import checked, compare_body
from assay.serve.overview import articles_list, overview
from assay.serve.shell import address, alert, place, shell
from assay.serve.snapshot import StudySnapshot
from assay.serve.state import MOST_FAILURES, failures_part, running_part, state_part
from assay.serve.study import CURVES, OF_VIEW, PARTS, study_body
from assay.serve.trial import trial_body, trial_spec, trial_stamp, weights_of
from assay.serve.views import View
from assay.serve.watched import WatchedStore
from assay.store import activity, imported, progress, queries
from assay.store.stamps import study_stamp

POLL_SECONDS = 0.25
_ALIVE_SECONDS = 15.0
_STATE_SECONDS = 20.0
_MOST_TRIALS = 120_000  # of the studies that are kept in memory

Endpoint = Callable[[Request], Response]


class LivePage:
    """The pages of one store.

    Args:
        store: What they show.
    """

    def __init__(self, store: WatchedStore) -> None:
        self.store = store
        articles_list()  # read once, before anybody waits for it
        self._snapshots, self._pages, self._stamps = Cache(_MOST_TRIALS), Cache(256), Cache(256)
        self._slow = Cache(64)  # articles and charts of trials: nobody who looks at another page waits for them

    def app(self) -> Starlette:
        """The app without its guard."""
        routes: dict[str, Endpoint] = {
            "/": self.overview_page,
            "/part/overview": self.overview_part,
            "/study/{name}": self.study_page,
            "/study/{name}/part/{part}": self.study_part,
            "/study/{name}/chart/{file}": self.study_chart,
            "/study/{name}/report.html": self.report,
            "/trial/{key}": self.trial_page,
            "/trial/{key}/part/body": self.trial_part,
            "/trial/{key}/chart/{file}": self.trial_chart,
            "/trial/{key}/weights.safetensors": self.weights,
            "/compare": self.compare_page,
            "/article/{name}": self.article_page,
            "/bench/{key}": self.bench_page,
            "/bench/{key}/chart/{file}": self.bench_chart,
            "/assets/{name}": assets.asset,
            "/favicon.ico": assets.icon,
        }
        made = [Route(path, _answering(self, endpoint)) for path, endpoint in routes.items()]
        return Starlette(routes=[Route("/events", self.events), *made], exception_handlers={404: _no_page})

    # --- the list of studies ---

    def overview_page(self, request: Request) -> Response:
        """The list of what is stored."""
        revision = self.store.revision()
        body = ["<h1>Studies and their trials</h1>", f'<p class="note">{_name(self.store)}</p>']
        body.append(place("/part/overview", self._overview()[0], name="overview"))
        return _page("Assay", body, revision=revision)

    def overview_part(self, request: Request) -> Response:
        """The list alone, for a page that follows the store."""
        content, behind = self._overview()
        return _fragment(request, content, behind=behind)

    def _overview(self) -> tuple[str, float]:
        database = self.store.store().database
        try:
            made = self._pages.get("overview", self.store.revision(), lambda: overview(database))
        except StoreError:
            self.store.reopen()
            raise
        return made.value, made.wait if made.is_behind else 0.0

    # --- a study ---

    def _snapshot(self, name: str) -> Made[StudySnapshot]:
        """The results of a study as they are, or as they were a moment ago where reading them takes long."""
        whole = self.store.stamp()
        store = self.store.store()
        stamp = self._stamps.get(name, whole, lambda: (self.store.identity, study_stamp(store.database, name))).value
        return self._snapshots.get(("study", name), stamp, lambda: StudySnapshot(store, name), weight=len)

    def study_page(self, request: Request) -> Response:
        """The page of a study in the view of the address."""
        name, revision = request.path_params["name"], self.store.revision()
        try:
            view, problem = View.of(request.query_params), ""
        except AssayError as error:
            view, problem = View(), str(error)
        body = study_body(name, view, state=self._current_state(name).value)
        body = [*([alert(problem)] if problem else []), *body]
        return _page(name, body, revision=revision, crumbs=[(name, "")])

    def _current_state(self, name: str) -> Made[str]:
        """The line on the state of a study; what nobody trains any longer stops to be running without a commit."""
        revision = self.store.revision()
        made = self._pages.get(("state", name), revision, lambda: self._state(name))
        if 'data-state="running"' in made.value and time.monotonic() - made.began > _STATE_SECONDS:
            moment = (revision, int(time.monotonic() / _STATE_SECONDS))
            return self._pages.get(("running", name), moment, lambda: self._state(name))
        return made

    def _state(self, name: str) -> str:
        database = self.store.store().database
        state = activity.states(database, only=name).get(name)
        if state is None:
            queries.study_definition(database, name)  # refuses a name of no study, which has no trials either
        return state_part(name, state, has_curves=bool(imported.rows_of_study(database, name)))

    def study_part(self, request: Request) -> Response:
        """A part of a study's page."""
        name, part = request.path_params["name"], request.path_params["part"]
        database = self.store.store().database
        if part == "state":
            made = self._current_state(name)
            return _fragment(request, made.value, behind=made.wait if made.is_behind else 0.0)
        if part == "running":
            rows = [row for row in progress.listed(database) if row["study"] == name]
            return _fragment(request, running_part(rows))
        if part == "failures":
            return _fragment(request, failures_part(activity.failures(database, name, MOST_FAILURES)))
        if part not in PARTS:
            known = ("state", "running", "failures", *PARTS)
            return _problem(request, unknown("part of a study's page", part, known), 404)
        view = View.of(request.query_params)
        made = self._snapshot(name)
        with made.value.lock:
            content = (
                PARTS[part](made.value, view)
                if part in OF_VIEW
                else made.value.part(part, lambda: PARTS[part](made.value, view))
            )
        return _fragment(request, content, behind=made.wait if made.is_behind else 0.0)

    def study_chart(self, request: Request) -> Response:
        """A chart of a study: its specification, or its data as CSV."""
        name, form = _chart_file(request)
        made = self._snapshot(request.path_params["name"])
        options = made.value.curve_options(View.of(request.query_params)) if name == CURVES else {}
        spec = made.value.spec(name, **options)
        return _chart(request, spec, form, stem=f"{file_stem(made.value.name)}-{name}")

    def report(self, request: Request) -> Response:
        """The report of a study as a file."""
        made = self._snapshot(request.path_params["name"])
        with made.value.lock:
            content = report_page(made.value.results)
        return _file(f"{file_stem(made.value.name)}.html", content.encode(), "text/html")

    # --- trials, comparisons, articles, benches ---

    def trial_page(self, request: Request) -> Response:
        """The page of a trial."""
        revision, key = self.store.revision(), request.path_params["key"]
        title, parts = trial_body(self.store.store(), key, url=self.store.typed)
        body = place(address("trial", key, "part", "body"), "\n".join(parts), name="body")
        return _page(title, [body], revision=revision, crumbs=[(f"trial {key[:8]}", "")])

    def trial_part(self, request: Request) -> Response:
        """The content of a trial's page alone, for a page that follows the store."""
        _, parts = trial_body(self.store.store(), request.path_params["key"], url=self.store.typed)
        return _fragment(request, "\n".join(parts))

    def trial_chart(self, request: Request) -> Response:
        """A chart of a trial."""
        name, form = _chart_file(request)
        key, store = request.path_params["key"], self.store.store()
        stamp = (self.store.identity, trial_stamp(store, key))
        made = self._slow.get(("trial", key, name), stamp, lambda: trial_spec(store, key, name))
        return _chart(request, made.value, form, stem=f"trial-{key[:8]}-{name}")

    def weights(self, request: Request) -> Response:
        """The weights of a trial as a file."""
        name, content = weights_of(self.store.store(), request.path_params["key"])
        return _file(name, content, "application/octet-stream")

    def compare_page(self, request: Request) -> Response:
        """Several studies side by side."""
        revision = self.store.revision()
        names = checked(request.query_params.getlist("study"))
        snapshots = [self._snapshot(name).value for name in names]
        body = compare_body(snapshots, View.of(request.query_params))
        return _page("Comparison", body, revision=revision, crumbs=[("comparison", "")])

    def article_page(self, request: Request) -> Response:
        """The page of an article, published beside measured."""
        name, revision = request.path_params["name"], self.store.revision()
        if name not in article_names():
            return _problem(request, unknown("article", name, article_names()), 404)
        store = self.store.store()
        made = self._slow.get(("article", name), self.store.stamp(), lambda: article_parts(store, name))
        return _page(name, made.value, revision=revision, crumbs=[(f"article {name}", "")])

    def bench_page(self, request: Request) -> Response:
        """The page of a bench."""
        revision = self.store.revision()
        title, parts = bench_parts(self.store.store(), request.path_params["key"])
        return _page(title, parts, revision=revision, crumbs=[(f"bench {title}", "")])

    def bench_chart(self, request: Request) -> Response:
        """A chart of a bench."""
        name, form = _chart_file(request)
        key = request.path_params["key"]
        return _chart(request, bench_spec(self.store.store(), key, name), form, stem=f"bench-{key[:8]}-{name}")

    # --- changes ---

    async def events(self, request: Request) -> Response:
        """A stream of the store's revision: one line at once, and one after each commit of any process."""
        return StreamingResponse(
            self._revisions(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def _revisions(self) -> AsyncIterator[str]:
        last, silent = "", 0.0
        while True:
            revision = await self._current()
            if revision != last:
                last, silent = revision, 0.0
                yield f"data: {json.dumps(revision)}\n\n"
            elif silent >= _ALIVE_SECONDS:
                silent = 0.0
                yield ": alive\n\n"
            silent += POLL_SECONDS
            await asyncio.sleep(POLL_SECONDS)

    async def _current(self) -> str:
        if self.store.path is not None:
            return self.store.recent(POLL_SECONDS / 2)
        return await asyncio.to_thread(self.store.recent, POLL_SECONDS / 2)


def _answering(page: LivePage, endpoint: Endpoint) -> Endpoint:
    """The endpoint, which answers with a sentence where the store or the address is wrong."""

    def answer(request: Request) -> Response:
        try:
            return endpoint(request)
        except AssayError as error:
            if isinstance(error, StoreError):
                page.store.reopen_if_lost()
            return _problem(request, str(error), _status(error))
        except Exception as error:  # one page that cannot be made must not hide the others
            import logging

            logging.getLogger("assay.serve").exception("%s", request.url.path)
            return _problem(request, f"internal error: {type(error).__name__}: {error}", 500)

    return answer


def _status(error: AssayError) -> int:
    """What HTTP calls an error: not found, a store that cannot be read now, or an address with a wrong value."""
    return 404 if isinstance(error, NotStoredError) else 503 if isinstance(error, StoreError) else 400


def _no_page(request: Request, error: Exception) -> Response:
    return _problem(request, f"There is no page {request.url.path!r:.200} here.", 404)


def _problem(request: Request, sentence: str, status: int) -> Response:
    is_part = "/part/" in request.url.path
    if is_part:  # the page shows it in the place of the part
        return _fragment(request, alert(sentence), status=404 if status == 404 else 200)  # shown, and tried again
    if "/chart/" in request.url.path:
        return PlainTextResponse(sentence, status_code=status, headers={"cache-control": "no-store"})
    body = ["<h1>Not available</h1>", alert(sentence), '<p><a href="/">All studies</a></p>']
    return _page("Not available", [f"<div data-retry>{''.join(body)}</div>"], status=status)


def _name(store: WatchedStore) -> str:
    from assay.report.html import text

    return f"Store {text(store.name)}, opened to be read only"


def _page(title: str, body: list[str], *, revision: str = "", status: int = 200, **more: Any) -> Response:
    content = shell(title, body, revision=revision, **more)
    return Response(content, status_code=status, media_type="text/html", headers={"cache-control": "no-store"})


def _fragment(request: Request, content: str, *, behind: float = 0.0, status: int = 200) -> Response:
    """A part of a page, or the answer that the browser has it already."""
    headers = {"x-assay-behind": f"{behind:.1f}"} if behind > 0 else {}
    if status != 200:
        return Response(content, status_code=status, media_type="text/html", headers={"cache-control": "no-store"})
    return _cached(request, content, "text/html", headers)


def _cached(request: Request, content: str, kind: str, headers: dict[str, str]) -> Response:
    tag = f'"{hashlib.blake2b(content.encode(), digest_size=16).hexdigest()}"'
    headers = headers | {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def _chart_file(request: Request) -> tuple[str, str]:
    """The name of a chart and the form that is asked for: "json" or "csv". Raises: AssayError."""
    name, _, form = request.path_params["file"].rpartition(".")
    if form not in ("json", "csv"):
        raise AssayError(f"chart {request.path_params['file']!r}: expected a name that ends in .json or .csv")
    return name, form


def _chart(request: Request, spec: str, form: str, *, stem: str) -> Response:
    if form == "json":
        return _cached(request, spec, "application/json", {})
    import pandas

    rows = rows_of(json.loads(spec))
    return _file(f"{stem}.csv", frame_csv(pandas.DataFrame(rows)).encode(), "text/csv")


def _file(name: str, content: bytes, kind: str) -> Response:
    from urllib.parse import quote

    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "cache-control": "no-store",
    }
    return Response(content, media_type=kind, headers=headers)


__all__ = ["POLL_SECONDS", "LivePage"]
