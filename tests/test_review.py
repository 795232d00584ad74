"""The review page: every decision an event before the next case, two people apart, nobody else let in."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from conftest import ROOT, sound
from mondegreen import Recorder, live, spool
from mondegreen.cli import main
from mondegreen.errors import DataError
from mondegreen.ingest import ingest
from mondegreen.review.desk import THIRD_LOOK, Desk
from mondegreen.review.leases import SECONDS, Leases
from mondegreen.review.server import Server
from mondegreen.review.sounds import Sounds
from mondegreen.review.suspicion import Suspicion, suspicion

HOSTILE = "</textarea></p><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\u202etxt&amp;"
HEARD = {"worst": "kiss this guy", "middle": "there's a bathroom on the right", "least": "hold me closer tony danza"}


@pytest.fixture
def inbox(recorder: Recorder) -> Path:
    """Return a spool with three cases whose order is known: worst, middle, least."""
    for score, (case_id, heard) in zip((0.9, 0.5, 0.1), HEARD.items(), strict=True):
        clip = sound(0.3, seed=round(score * 10))
        recorder.failure(clip, original_transcript=heard, case_id=case_id, error_score=score, speaker_id="s1")
    return recorder.path


@contextmanager
def desk(inbox: Path, author: str = "ann", **options: Any) -> Iterator[Desk]:
    made = Desk(inbox, author, **options)
    try:
        yield made
    finally:
        made.close()


def decisions(inbox: Path) -> list[dict[str, Any]]:
    """Return what people decided, in order, as a reader of the spool finds it now."""
    found = [event for part in spool.read(inbox) for event in part.events if event["event"] in ("correction", "review")]
    return sorted(found, key=lambda event: event["event_id"])


def shown(found: Desk) -> str | None:
    sheet = found.next()
    return sheet.case.case_id if sheet else None


# -- the queue


def test_a_decision_is_an_event_before_the_next_case(inbox: Path):
    with desk(inbox) as ann:
        assert shown(ann) == "worst"
        ann.decide("worst", "correct", " kiss  the sky\n", taken="rule:x")
        [event] = decisions(inbox)
        assert (event["corrected_transcript"], event["author"], event["method"]) == ("kiss the sky", "ann", "manual")
        assert event["metadata"]["suggestion"] == "rule:x"
        assert shown(ann) == "middle"
        ann.decide("middle", "silence")
        assert shown(ann) == "least"
        ann.decide("least", "bad_audio")
        assert shown(ann) is None
        assert (ann.progress().done, ann.progress().total, ann.progress().today) == (3, 3, 3)
    cases, _ = live.read_cases(inbox)
    assert cases.set_index("case_id")["corrected_transcript"].dropna().to_dict() == {
        "worst": "kiss the sky",
        "middle": "",
    }


def test_today_counts_what_was_decided_on_the_page(inbox: Path, recorder: Recorder):
    with desk(inbox) as ann:
        ann.decide("worst", "correct", "kiss the sky")
        recorder.correction("middle", "from a file", author="ann")
        recorder.review("least", "unsure", author="ann")
        shown(ann)
        assert (ann.progress().done, ann.progress().today) == (3, 1)
        ann.undo()
        assert ann.progress().today == 0
        assert ann.undo() is None, "what came from elsewhere is not the page's to take back"


def test_undo_appends_an_event_and_shows_the_case_with_its_text_again(inbox: Path):
    with desk(inbox) as ann:
        shown(ann)
        ann.decide("worst", "correct", "miss the sky")
        shown(ann)
        ann.decide("middle", "skip")
        assert ann.undo().case.case_id == "middle"
        sheet = ann.undo()
        assert (sheet.case.case_id, sheet.start) == ("worst", "miss the sky")
        assert ann.undo() is None
        assert [event.get("decision", "correction") for event in decisions(inbox)] == [
            "correction",
            "skip",
            "undo",
            "undo",
        ]
    with desk(inbox) as restarted:
        assert shown(restarted) == "worst"


def test_what_was_put_off_comes_when_the_rest_is_done(inbox: Path):
    with desk(inbox) as ann:
        for case_id in ("worst", "middle"):
            shown(ann)
            ann.decide(case_id, "skip")
        assert shown(ann) == "least"
        ann.decide("least", "unsure")
        assert shown(ann) is None
        assert ann.progress().put_off == 2
        ann.again()
        assert shown(ann) == "worst"
    with desk(inbox, "bob") as bob:
        assert shown(bob) == "worst"


def test_a_case_recorded_meanwhile_is_there_without_ingest(inbox: Path, recorder: Recorder):
    with desk(inbox) as ann:
        assert shown(ann) == "worst"
        recorder.failure(None, original_transcript="new", case_id="newer", error_score=1.0)
        assert shown(ann) == "newer"
        recorder.withdrawal(reason="asked to", case_id="newer")
        assert shown(ann) == "worst"


@pytest.mark.parametrize(("order", "first"), [("worst", "confident"), ("newest", "rare"), ("uncertain", "unsure")])
def test_orders(recorder: Recorder, order: str, first: str):
    for case_id, confidence, kind in [("unsure", 0.1, "loop"), ("confident", 0.9, "loop"), ("rare", 0.5, "caps")]:
        recorder.failure(
            None,
            original_transcript=case_id,
            case_id=case_id,
            error_score=0.9,
            model_confidence=confidence,
            error_types=[kind],
        )
    with desk(recorder.path, order_name=order) as ann:
        sheet = ann.next()
        assert sheet.case.case_id == first
        assert sheet.reason


def test_rarer_error_types_come_first(recorder: Recorder):
    for number, kind in enumerate(["loop", "loop", "caps"]):
        recorder.failure(None, original_transcript="x", case_id=f"{kind}{number}", error_score=0.5, error_types=[kind])
    with desk(recorder.path) as ann:
        assert shown(ann) == "caps2"
    with desk(recorder.path, error_types=["loop"]) as ann:
        assert (shown(ann), ann.progress().total) == ("loop0", 2)
    with (
        pytest.raises(DataError, match="no case has the error type odd; the types are caps, loop"),
        desk(recorder.path, error_types=["odd"]),
    ):
        pass


def test_machines_suggest_and_people_decide(inbox: Path, recorder: Recorder):
    recorder.correction("worst", "Kiss the sky", method="model:whisper", metadata={"confidence": 0.8})
    recorder.correction("worst", "kiss this guy", method="rule:same")
    with desk(inbox) as ann:
        sheet = ann.next()
        assert [(each.text, each.method, each.confidence) for each in sheet.suggestions] == [
            ("Kiss the sky", "model:whisper", 0.8)
        ]


def test_rules_suggest_while_the_case_is_shown(recorder: Recorder):
    caps = ["all_caps"]  # without it the form does not count, and nothing is suggested that changes no word
    recorder.failure(None, original_transcript="I AM IN LONDON", case_id="caps", error_types=caps)
    recorder.failure(None, original_transcript="x", case_id="seen", error_score=0.0)
    recorder.correction("seen", "We live in London now.", author="bob")
    with desk(recorder.path) as ann:
        [suggestion] = ann.next().suggestions
        assert (suggestion.text, suggestion.method) == ("I am in London", "rule:case-restoration")


@pytest.mark.parametrize(("decision", "text"), [("correct", " "), ("like", "x")])
def test_what_is_no_decision_records_nothing(inbox: Path, decision: str, text: str):
    with desk(inbox) as ann, pytest.raises(DataError):
        ann.decide("worst", decision, text)
    assert decisions(inbox) == []


# -- corrections that are probably wrong


def test_a_suspect_correction_waits_until_somebody_looked_again(inbox: Path, recorder: Recorder):
    for case_id, text in [("worst", "kiss the skies"), ("least", "hold me")]:
        recorder.correction(case_id, text, author="ann")
    found = Suspicion({"worst": (0.8, ("words_dropped",)), "least": (0.9, ("second_opinion", "words_dropped"))})
    with desk(inbox, suspicion=found) as ann:
        sheet = ann.next()
        assert (sheet.case.case_id, sheet.start, ann.progress().total) == ("least", "hold me", 2)
        assert sheet.notice.startswith("Suspect, 0.90: another recogniser hears")
        ann.decide("least", "correct", "hold me closer")
        assert shown(ann) == "worst"
        ann.decide("worst", "unsure")
        assert shown(ann) is None
    with desk(inbox, "bob", suspicion=found) as bob:
        assert shown(bob) is None


def test_a_suspect_case_shows_what_people_said_and_that_it_says_silence(inbox: Path, recorder: Recorder):
    for author, text in (("ann", "kiss the skies"), ("bob", "kiss the sky"), ("ann", "")):
        recorder.correction("worst", text, author=author, is_speech=bool(text))
    with desk(inbox, suspicion=Suspicion({"worst": (0.8, ("annotators_apart",))})) as ann:
        sheet = ann.next()
        assert sheet.notice.endswith("The correction says that nobody speaks")
        assert [(each.text, each.method) for each in sheet.suggestions][:1] == [("kiss the sky", "another person")]


def test_a_suspect_case_shows_what_another_recogniser_heard(inbox: Path, recorder: Recorder):
    recorder.correction("worst", "kiss the skies", author="ann")
    recorder.hearing("worst", "kiss the sky", model_version="ears", model_confidence=0.7)
    recorder.hearing("worst", "", model_version="deaf")
    with desk(inbox, suspicion=Suspicion({"worst": (0.8, ("second_opinion",))})) as ann:
        sheet = ann.next()
        assert [(each.text, each.method) for each in sheet.suggestions] == [("kiss the sky", "heard by ears")]


def test_suspects_that_come_up_are_in_the_queue_of_an_open_page(tmp_path: Path):
    """One who checks meanwhile, ingests and builds has not to tell the one at the page."""
    inbox, table = tmp_path / "data/inbox", tmp_path / "data/suspects.parquet"
    for folder in (tmp_path / ".dvc", tmp_path / "data/raw"):
        folder.mkdir(parents=True)
    for file in (tmp_path / "dvc.yaml", table):
        file.touch()
    with Recorder(inbox) as recorder:
        recorder.failure(None, original_transcript="kiss a sky", case_id="sky", model_version="asr-1")
        recorder.correction("sky", "kiss the sky", author="ann")
        found = suspicion(inbox)
        assert found.found == {}
        with desk(inbox, suspicion=found) as cid:
            assert shown(cid) is None
            recorder.correction("sky", "miss a pie", author="bob")
            assert shown(cid) is None, "nothing was built since: nothing is ranked again"
            table.unlink()
            assert shown(cid) is None, "it is being built"
            table.write_text("anew")
            assert cid.next().notice.startswith("Suspect")
            assert cid.progress().total == 1


# -- two people


def test_two_people_never_hold_the_same_case(inbox: Path):
    with desk(inbox) as ann, desk(inbox, "bob") as bob:
        assert (shown(ann), shown(bob)) == ("worst", "middle")
        assert (shown(ann), shown(bob)) == ("worst", "middle")
        bob.decide("middle", "correct", "there's a bad moon on the rise")
        assert shown(bob) == "least"
        ann.decide("worst", "correct", "kiss the sky")
        assert shown(ann) is None
    with desk(inbox, "eve") as eve:
        assert shown(eve) == "least"


def test_a_lease_ends_with_its_time(tmp_path: Path):
    clock = [0.0]
    first, second = (Leases(tmp_path, now=lambda: clock[0]) for _ in range(2))
    assert (first.take(["a", "b"]), second.take(["a", "b"])) == ("a", "b")
    clock[0] = SECONDS / 2
    assert second.hold("b")
    clock[0] = SECONDS + 1.0
    assert second.take(["a"]) == "a"
    assert not first.hold("a")


def test_a_lease_ends_with_its_process(tmp_path: Path):
    code = "import pathlib; from mondegreen.review.leases import Leases; Leases(pathlib.Path.cwd()).take('a')"
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "stages")}
    )
    assert json.loads((tmp_path / "leases/leases.json").read_text())
    assert Leases(tmp_path).take(["a"]) == "a"


def test_a_dispute_waits_for_a_third_person(inbox: Path, recorder: Recorder):
    recorder.correction("least", "hold me closer tiny dancer", author="ann")
    recorder.correction("least", "hold me close, young tony dancer", author="bob")
    with desk(inbox, "ann") as ann, desk(inbox, "eve") as eve:
        assert shown(ann) == "worst"
        sheet = eve.next()
        assert (sheet.case.case_id, sheet.notice) == ("least", THIRD_LOOK)
        assert [each.text for each in sheet.suggestions] == [
            "hold me closer tiny dancer",
            "hold me close, young tony dancer",
        ]
        eve.decide("least", "correct", "hold me closer tiny dancer")
        assert decisions(inbox)[-1]["metadata"]["third_look"] is True
    with desk(inbox, "dan") as dan:
        assert shown(dan) == "worst"
    cases, _ = live.read_cases(inbox)
    assert cases["conflicting_corrections"].sum() == 0


# -- the server


@pytest.fixture
def server(inbox: Path) -> Iterator[Server]:
    with desk(inbox) as ann, Server(ann, Sounds(inbox)) as running:
        yield running


def ask(url: str, method: str = "GET", *, fields: dict[str, str] | None = None, **headers: str):
    """Return (status, headers, body) of a request to a server on this machine, with any header."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = urllib.parse.urlencode(fields) if fields is not None else None
    if body is not None:
        named = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{parts.netloc}"} | named
    try:
        connection.request(method, parts.path + ("?" + parts.query if parts.query else ""), body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_it_lets_nobody_else_in(server: Server, inbox: Path):
    root = server.url.rsplit("/", 2)[0]
    fields = {"case": "worst", "decision": "silence"}
    assert server.url.startswith("http://127.0.0.1:")
    refused = [
        ask(root + "/"),
        ask(root + "/wrong/"),
        ask(root + "/static/review.js"),
        ask(server.url[:-2] + "/"),
        ask(server.url, Host="evil.example"),
        ask(server.url, Origin="http://evil.example"),
        ask(server.url + "decide", "POST", fields=fields, Origin="http://evil.example"),
        ask(server.url + "decide", "POST", fields=fields, Origin="null"),
        ask(server.url + "decide", "POST"),
        ask(root + "/wrong/decide", "POST", fields=fields),
    ]
    assert [status for status, _, _ in refused] == [403] * len(refused)
    assert not any(b"kiss" in body for _, _, body in refused)
    assert decisions(inbox) == []
    assert ask(server.url + "decide", "POST", fields=fields)[0] == 303
    assert len(decisions(inbox)) == 1


def test_nothing_is_cached_and_only_its_own_scripts_run(server: Server):
    for where in ("", "report.css", "static/review.js", "audio?case=worst", "nothing"):
        _, headers, _ = ask(server.url + where)
        assert headers["Cache-Control"] == "no-store"
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
        assert headers["Referrer-Policy"] == "same-origin"
    _, _, body = ask(server.url)
    assert not re.search(rb"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", body)


def test_audio_comes_by_case_in_parts(server: Server, inbox: Path):
    status, headers, whole = ask(server.url + "audio?case=worst")
    assert (status, headers["Content-Type"], whole) == (200, "audio/wav", sound(0.3, seed=9))
    status, headers, part = ask(server.url + "audio?case=worst", Range="bytes=100-199")
    assert (status, part) == (206, whole[100:200])
    assert headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
    for unknown in ("", "nobody", "../../../etc/passwd"):
        assert ask(f"{server.url}audio?case={unknown}")[0] == 400
    bars = json.loads(ask(server.url + "waveform?case=worst")[2])
    assert len(bars) > 100 and max(bars) == 100 and min(bars) >= 0


def test_an_ingest_meanwhile_changes_nothing_for_who_reviews(recorder: Recorder):
    root = recorder.path.parent
    (root / ".dvc").mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    recorder.failure(sound(0.3, seed=5), original_transcript="kiss this guy", case_id="c")
    with desk(recorder.path) as ann, Server(ann, Sounds(recorder.path)) as server:
        ask(server.url)
        recorder.close()
        done = ingest(recorder.path, root / "data/raw", track=lambda batch: None)
        assert (done.cases, list(recorder.path.rglob("*.wav"))) == (1, [])
        assert ask(server.url + "audio?case=c")[2] == sound(0.3, seed=5)
        ask(server.url + "decide", "POST", fields={"case": "c", "decision": "correct", "text": "kiss the sky"})
        assert ann.next() is None
        assert (ann.progress().done, ann.progress().total) == (1, 1)


def test_audio_that_is_gone_is_said_to_be_gone(server: Server, inbox: Path):
    shutil.rmtree(inbox / "audio")
    status, _, body = ask(server.url + "audio?case=worst")
    assert (status, b"neither in the spool nor in a batch" in body) == (400, True)


def test_what_comes_from_outside_is_text(recorder: Recorder):
    recorder.failure(None, original_transcript=HOSTILE, case_id=HOSTILE[:-20], error_types=["<i>"], speaker_id='"<b>')
    recorder.correction(HOSTILE[:-20], HOSTILE + "!", method="model:x")
    with desk(recorder.path, '<u>"ann') as ann, Server(ann, Sounds(recorder.path)) as server:
        page = ask(server.url)[2].decode()
        assert "&lt;script&gt;" in page
        assert not re.search(r"<(script(?! src)|img|b|u)\b(?! id| class|>\d)", page)
        assert "\x1b" not in page and "\u202e" not in page
        fields = {"case": HOSTILE[:-20], "text": "<img src=x onerror=alert(1)>"}
        assert b"<img" not in ask(server.url + "diff", "POST", fields=fields)[2]


# -- the command


def start(inbox: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start `mondegreen review` and return it with its URL."""
    command = [sys.executable, "-m", "mondegreen.cli", "review", "--spool", str(inbox), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "stages")}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env, cwd=inbox)
    assert "cases wait" in running.stdout.readline()
    return running, running.stdout.readline().strip()


def test_killing_the_server_loses_nothing_and_blocks_nobody(inbox: Path):
    running, url = start(inbox, "--author", "ann")
    try:
        ask(url)
        ask(url + "decide", "POST", fields={"case": "worst", "decision": "correct", "text": "kiss the sky"})
        ask(url)
    finally:
        running.kill()
        running.communicate()
    assert [event["corrected_transcript"] for event in decisions(inbox)] == ["kiss the sky"]
    running, url = start(inbox, "--author", "bob")
    try:
        assert b"bathroom" in ask(url)[2]
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=30)
        assert (running.returncode, "mondegreen ingest" in said) == (0, True)
    finally:
        running.kill()


def test_errors_are_one_line(inbox: Path, capsys, server: Server):
    port = str(urllib.parse.urlsplit(server.url).port)
    for arguments, says in [
        (["--port", port], f"port {port} cannot be had"),
        (["--error-type", "odd"], "no case has the error type odd"),
    ]:
        assert main(["review", "--spool", str(inbox), "--author", "bob", *arguments]) == 1
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1


# -- in a real browser


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture
def page(browser, server: Server):
    """Return the review page, opened; whatever a browser complains about fails the test."""
    with opened(browser, server.url) as found:
        yield found


@contextmanager
def opened(browser, url: str, **settings: Any):
    context = browser.new_context(**settings)
    found = context.new_page()
    complaints: list[str] = []
    found.on("console", lambda message: complaints.append(message.text))
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    found.goto(url)
    yield found
    context.close()
    assert [each for each in complaints if not each.startswith("Failed to load resource")] == []


def case_on(page, case_id: str) -> None:
    page.locator(f'#sheet[data-case="{case_id}"]').wait_for()


@needs_browser
def test_three_cases_by_keyboard_alone(page, inbox: Path, recorder: Recorder):
    recorder.correction("middle", "there's a bad moon on the rise", method="model:whisper")
    press = page.keyboard.press
    case_on(page, "worst")
    press("e")
    for _ in range(len("this guy")):
        press("Backspace")
    page.keyboard.type("the sky")
    page.locator("#diff .sub").nth(1).filter(has_text="sky").wait_for()  # the last letter's answer
    assert page.locator("#diff").inner_text().split() == ["kiss", "this", "→", "the", "guy", "→", "sky"]
    press("Enter")
    case_on(page, "middle")
    assert page.evaluate("document.activeElement.id") == "text"  # left from within the text: it begins there again
    page.locator("#status", has_text="Saved: kiss the sky").wait_for()  # it is written with the next frame
    press("Escape")
    press("1")
    assert page.locator("#text").input_value() == "there's a bad moon on the rise"
    press("Enter")
    case_on(page, "least")
    press("x")
    page.get_by_text("Everything is decided").wait_for()
    assert page.locator(".progress p").first.inner_text() == "3 of 3, 3 today"
    press("z")
    case_on(page, "least")
    press("u")
    page.get_by_text("Everything is decided").wait_for()
    found = decisions(inbox)
    people = [event for event in found if event.get("author") == "ann"]
    assert [event.get("corrected_transcript", event.get("decision")) for event in people] == [
        "kiss the sky",
        "there's a bad moon on the rise",
        "",
        "undo",
        "unsure",
    ]
    assert people[1]["metadata"]["suggestion"] == "model:whisper"
    assert people[3]["undoes"] == people[2]["event_id"]


@needs_browser
def test_the_sound_plays_at_once_and_obeys_the_keys(page):
    def playing(is_playing: bool) -> None:
        page.wait_for_function("playing => !document.getElementById('audio').paused === playing", arg=is_playing)

    page.evaluate("document.getElementById('audio').loop = true")
    page.keyboard.press("Space")  # a browser lets no page play before the first key
    playing(True)
    page.keyboard.press("Space")
    playing(False)
    page.keyboard.press("s")
    assert page.evaluate("document.getElementById('audio').playbackRate") == 0.75
    page.keyboard.press("e")
    page.keyboard.press("Control+Space")
    playing(True)
    assert page.locator("#text").input_value() == "kiss this guy"
    page.evaluate("window.played = false; document.addEventListener('play', () => { window.played = true; }, true)")
    page.keyboard.press("Enter")
    case_on(page, "middle")
    page.wait_for_function("window.played")
    page.locator(".wave .rest[d^=M]").wait_for(state="attached")
    assert page.locator("#seek").get_attribute("aria-label") == "Position"


@needs_browser
def test_hostile_texts_stay_texts_in_a_browser(browser, recorder: Recorder):
    recorder.failure(
        None, original_transcript=HOSTILE, case_id='"><script>alert(2)</script>', error_types=["<img src=x>"]
    )
    recorder.correction('"><script>alert(2)</script>', HOSTILE + "!", method="model:x")
    with (
        desk(recorder.path, "<b>ann") as ann,
        Server(ann, Sounds(recorder.path)) as server,
        opened(browser, server.url) as page,
    ):
        page.keyboard.press("1")
        page.keyboard.press("e")
        page.keyboard.type(" <img src=x onerror=alert(3)>")
        page.locator("#diff .extra").first.wait_for()
        assert page.locator("img, #diff script, article script").count() == 0
        page.keyboard.press("Enter")
        page.get_by_text("Everything is decided").wait_for()
    assert decisions(recorder.path)[-1]["corrected_transcript"].endswith("<img src=x onerror=alert(3)>")


@needs_browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_it_fits_the_screen_and_names_every_control(browser, server: Server, width: int, scheme: str):
    with opened(browser, server.url, viewport={"width": width, "height": 844}, color_scheme=scheme) as page:
        case_on(page, "worst")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        unnamed = """[...document.querySelectorAll('button, input:not([type=hidden]), textarea, audio:not([hidden])')]
            .filter(each => !(each.innerText || each.ariaLabel || each.labels?.length)).map(each => each.outerHTML)"""
        assert page.evaluate(unnamed) == []
        order = []
        for _ in range(6):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.id || document.activeElement.value"))
        assert order == ["play", "seek", "replay", "slower", "text", "correct"]


@needs_browser
def test_the_next_case_begins_in_sight(browser, server: Server):
    with opened(browser, server.url, viewport={"width": 390, "height": 400}) as page:
        case_on(page, "worst")
        page.evaluate("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
        assert page.evaluate("document.querySelector('article').getBoundingClientRect().top") < 0
        page.keyboard.press("k")
        case_on(page, "middle")
        assert page.evaluate("scrollY") == 0


@needs_browser
def test_it_works_without_scripts(browser, server: Server, inbox: Path):
    with opened(browser, server.url, java_script_enabled=False) as page:
        page.get_by_label("What was really said").fill("kiss the sky")
        page.get_by_role("button", name="Save, next").click()
        page.get_by_role("button", name="Silence").click()
        page.get_by_role("button", name="Undo").click()
    assert [event.get("corrected_transcript", event.get("decision")) for event in decisions(inbox)] == [
        "kiss the sky",
        "",
        "undo",
    ]


def cut_off(page, offline: bool) -> None:
    page.context.set_offline(offline)
    page.wait_for_function("offline => navigator.onLine !== offline", arg=offline)


@needs_browser
def test_without_the_server_nothing_is_lost_in_silence(page, server: Server, inbox: Path):
    case_on(page, "worst")
    cut_off(page, True)
    page.keyboard.press("x")
    page.locator("#alert").get_by_text("nothing was recorded").wait_for()
    case_on(page, "worst")
    assert decisions(inbox) == []
    cut_off(page, False)
    page.keyboard.press("x")
    case_on(page, "middle")
    assert page.locator("#alert").is_hidden()
