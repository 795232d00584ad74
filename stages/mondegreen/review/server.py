"""The page: Flask on 127.0.0.1 alone, behind a random token, with nothing from outside and no script within the page.

Who does not know the token gets nothing. A page of another origin cannot reach it even so: Host has to be this
machine's, and what changes something has to come from the page itself (Origin). Texts are escaped by the templates.
"""

import io
import secrets
import socket
import threading
from hmac import compare_digest
from typing import Any

from flask import Blueprint, Flask, Response, abort, jsonify, redirect, render_template, request, send_file, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from mondegreen import diffs
from mondegreen.alignment import edits
from mondegreen.errors import DataError, MondegreenError
from mondegreen.review.desk import Desk, Sheet
from mondegreen.review.sounds import Sounds
from mondegreen.stylesheet import STYLESHEET
from mondegreen.terminal import plain
from mondegreen.text import written_words

HOST = "127.0.0.1"
_NAMES = {HOST, "localhost"}
_MOST_BYTES = 1_000_000
"""Of a request: a transcript is short."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with "no-referrer" a form's Origin would be "null"
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Server:
    """A running page; `url` is where it is, token included."""

    def __init__(self, desk: Desk, sounds: Sounds, *, port: int = 0) -> None:
        """Listen on `port` of 127.0.0.1, 0 for any that is free; raises `DataError` where it is taken."""
        token = secrets.token_urlsafe(24)
        try:
            self._socket = socket.create_server((HOST, port))
        except (OSError, OverflowError) as error:
            raise DataError(f"port {port} cannot be had ({error}): choose another, or none for any free one") from error
        port = self._socket.getsockname()[1]
        self._server: BaseWSGIServer = make_server(
            HOST,
            port,
            create_app(desk, sounds, token),
            threaded=True,
            request_handler=_Handler,
            fd=self._socket.fileno(),
        )
        self.url = f"http://{HOST}:{port}/{token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="review", daemon=True)

    def __enter__(self) -> "Server":
        """Begin to serve, in a thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; requests that are being answered are answered."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._socket.close()


class _Handler(WSGIRequestHandler):
    """Keeps connections open between requests, and the terminal quiet: URLs hold the token."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def create_app(desk: Desk, sounds: Sounds, token: str) -> Flask:
    """Return the application; everything it has lies below `/<token>/`."""
    app = Flask(__name__, static_url_path=f"/{token}/static")
    app.config["MAX_CONTENT_LENGTH"] = _MOST_BYTES
    app.jinja_env.filters["plain"] = plain
    app.before_request(lambda: _guard(token))
    app.after_request(_shield)
    app.register_error_handler(MondegreenError, lambda error: _refused(plain(str(error))))
    app.register_error_handler(HTTPException, lambda error: (str(error.name), error.code))
    app.register_blueprint(_pages(desk, sounds), url_prefix=f"/{token}")
    return app


def _guard(token: str) -> None:
    """Refuse whoever does not know the token, is no browser on this machine, or comes from another page."""
    host = request.host
    given = request.path.split("/", 2)[1]
    origin = request.headers.get("Origin")
    known = compare_digest(given.encode(), token.encode()) and host.rpartition(":")[0] in _NAMES
    foreign = origin != f"http://{host}" if request.method == "POST" or origin is not None else False
    if not known or foreign:
        abort(403)


def _shield(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response


def _refused(reason: str) -> tuple[str, int]:
    return reason, 400


def _pages(desk: Desk, sounds: Sounds) -> Blueprint:
    pages = Blueprint("pages", __name__)

    @pages.get("/")
    def page() -> str:
        return render_template("page.html", **_view(desk, desk.next()), explained=desk.explained)

    @pages.post("/decide")
    def decide() -> Any:
        form = request.form
        said = desk.decide(form.get("case", ""), form.get("decision", ""), form.get("text", ""), form.get("taken"))
        return _answer(desk, desk.next(), said)

    @pages.post("/undo")
    def undo() -> Any:
        sheet = desk.undo()
        return _answer(desk, sheet or desk.next(), "Taken back" if sheet else "Nothing to take back")

    @pages.post("/again")
    def again() -> Any:
        desk.again()
        return _answer(desk, desk.next(), "")

    @pages.post("/hold")
    def hold() -> dict[str, bool]:
        return {"held": desk.hold(request.form.get("case", ""))}

    @pages.post("/diff")
    def diff() -> str:
        return _diff(desk.case(request.form.get("case", "")).original, request.form.get("text", ""))

    @pages.get("/audio")
    def audio() -> Response:
        clip = sounds.of(desk.case(request.args.get("case", "")).audio)
        return send_file(io.BytesIO(clip.data), mimetype=clip.media_type, conditional=True, etag=False)

    @pages.get("/waveform")
    def waveform() -> Response:
        return jsonify(sounds.bars(desk.case(request.args.get("case", "")).audio))

    @pages.get("/report.css")
    def stylesheet() -> Response:
        return Response(STYLESHEET, mimetype="text/css")

    return pages


def _answer(desk: Desk, sheet: Sheet | None, said: str) -> Any:
    """Answer the page's script with the next case alone, a browser without scripts with the way to the whole page."""
    if request.headers.get("X-Part") != "case":
        return redirect(url_for("pages.page"), 303)
    return render_template("case.html", **_view(desk, sheet), said=said)


def _view(desk: Desk, sheet: Sheet | None) -> dict[str, Any]:
    diff = _diff(sheet.case.original, sheet.start) if sheet else ""
    return {"sheet": sheet, "diff": diff, "progress": desk.progress(), "author": desk.author}


def _diff(before: str, after: str) -> str:
    """Return what an edit changes, word by word, as markup."""
    found = edits(written_words(plain(before)), written_words(plain(after)))
    return "".join(diffs.words(found, gone="removed", extra="added", most=1000))
