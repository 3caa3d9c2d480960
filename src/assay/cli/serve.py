"""`assay serve`: the live page of a store in the browser."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Annotated

import typer

from assay.cli.options import StoreUrl
from assay.cli.printing import note, print_line
from assay.errors import AssayError, to_install

_NICE = 10  # the server gives way to trainings on its machine


def serve(
    store: StoreUrl = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on.", show_default="8421, or a free one where it is taken"),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    host: Annotated[
        str, typer.Option(metavar="NAME", help="Name or address to listen on; others than this machine's need care.")
    ] = "127.0.0.1",
) -> None:
    """Serve a page on which the studies of a store are watched while they run, explored and compared.

    The store is only read. The printed address carries a token; the browser that opens it remembers it. Ctrl-C ends it.
    """
    try:
        from assay.serve.server import LiveServer
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("starlette", "uvicorn", "anyio"):
            raise
        raise AssayError(f"assay serve needs {package}, which is not installed: {to_install('serve')}") from None

    server = LiveServer(store, host=host, port=port)
    print_line(server.first_address)
    note(f"store {server.store.name}, only read; Ctrl-C ends the server")
    if not server.is_local:
        note(
            "other machines can reach this page with the token; the connection is not encrypted: on a network that "
            "you do not trust, use ssh -L instead"
        )
    try:
        server.store.store()
    except AssayError as error:
        note(f"{error}; the page says so, and shows the store once it can be read")

    def show() -> None:
        if open_browser:
            import webbrowser

            webbrowser.open(server.first_address)

    with suppress(OSError, AttributeError):  # AttributeError: Windows
        os.nice(_NICE)
    server.run(started=show)
