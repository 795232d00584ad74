"""The pull request: a page that is safe to post, the script that makes it, the workflow that posts it, the hooks."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt

from conftest import ROOT
from mondegreen import judgement, pull_request
from mondegreen.changes import Changes, State
from mondegreen.directions import Metric
from mondegreen.growth import Batches, Ledger
from mondegreen.markdown import code, text, word_diff
from states import States, rows

HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "</code></td></details><!-- -->",
    "| a | b |\n\n# heading\n- item",
    "`code` ``` fence ``` **bold** _it_ ~~no~~ $x$",
    "@everyone @org/team mail@example.com #1 org/repo#2 GH-3",
    "https://example.com www.example.com [link](https://example.com) ![img](https://example.com/x.png) <https://a.bc>",
    "&lt;b&gt; &#64;someone &amp; \\@someone \\<b>",
    "\u202egnirts desrever\u202c \u2066isolated\u2069 \x1b[31mred\x00",
]
ALLOWED = {"h2", "p", "code", "ul", "li", "details", "summary", "del", "ins", "strong"} | {
    *("table", "thead", "tbody", "tr", "th", "td"),
}
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
REVIEW = yaml.safe_load((ROOT / ".github/workflows/data-review.yml").read_text())


class _Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def _rendered(markdown: str) -> _Page:
    return _Page(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown))


def _table(columns: str, values: list[list[object]]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=columns.split())


def _changes(texts: list[str]) -> Changes:
    """Return changes in which every name and text is one of `texts`."""
    one = texts[0]
    both = [[name, "test", name, name, name] for name in texts]
    return Changes(
        before=State(one, "0" * 40, "a.dir", "passed", "passed"),
        after=State(one, "", "b.dir", "failed", "passed", (one,), (one,)),
        added=_table("case_id split error_type original_transcript corrected_transcript", both).assign(
            was="new", reasons=[[]] * len(texts)
        ),
        removed=_table("case_id split error_type original_transcript corrected_transcript", both).assign(
            now="rejected", reasons=[[one]] * len(texts), frozen=one
        ),
        corrected=_table("case_id split error_type original_transcript before", both).assign(
            after=list(reversed(texts)), frozen=one
        ),
        moved=_table("case_id error_type before after frozen", [[name, name, "test", name, name] for name in texts]),
        rows=_table("split error_type before after", [["test", name, 1, 2] for name in texts]),
        speakers=_table(
            "speaker_id before after", [[name, number % 2, 1 - number % 2] for number, name in enumerate(texts)]
        ),
        columns=[{"name": name, "after": name} for name in texts],
        params=[{"name": name, "before": name, "after": name} for name in texts],
        metrics=[
            Metric("quality.quality_metrics.validity", 1.0, 0.5, "worse", 0.95),
            *(Metric(name, 1, 2, "changed") for name in texts),
        ],
        batches=Batches(tuple(texts), tuple(texts), tuple(texts), tuple(texts), tuple(texts)),
        ledger=Ledger(1, tuple(texts)),
        unread="",
    )


# -- the page


def test_nothing_from_outside_becomes_markup_link_or_mention():
    markdown = pull_request.page(_changes(HOSTILE))
    page = _rendered(markdown)
    assert page.tags <= ALLOWED
    assert page.links == []
    for pattern in (r"@\w", r"(?<![&\w])#\d", r"://", r"www\.", r"GH-\d"):
        assert not re.search(pattern, page.text), pattern
        assert not re.search(pattern, markdown), pattern
    assert "onerror" in page.text, "shown as text"
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", markdown)


def test_texts_read_as_they_were_written():
    for written in ("it's 5 % & <b>", "a_b*c* `d` | [e](f) ~~g~~ $h$ \\i", "ünïcode 語 עברית"):
        for markdown in (text(written), code(written), word_diff(written, written)):
            assert _rendered(f"| a |\n|---|\n| {markdown} |\n").text.split() == [
                "a",
                *written.split(),
            ]


def test_a_word_diff_shows_what_went_and_what_came():
    assert word_diff("kiss this guy", "kiss the sky") == "<code>kiss <del>this guy</del> <ins>the sky</ins></code>"
    assert word_diff("", "hello") == "<code><ins>hello</ins></code>"
    assert word_diff("hello", "") == "<code><del>hello</del></code>"
    assert word_diff("", "") == "nothing"


@pytest.mark.parametrize("word", ["x", "<", "語", "@", "wwwwwwww. "])
def test_the_page_fits_a_comment_however_much_changed(word: str):
    many = [f"{word * 500}{number}" for number in range(3000)]
    page = pull_request.page(_changes(many))
    assert len(page.encode()) <= 65_536
    assert page.startswith(pull_request.MARKER)
    assert "and 2,997 more" in page


def test_a_change_of_nothing_is_a_short_page():
    found = _changes(["x"])
    empty = {
        name: getattr(found, name).head(0) for name in ("added", "removed", "corrected", "moved", "rows", "speakers")
    }
    same = State("main", "0" * 40, "a.dir", "passed", "passed")
    quiet = replace(
        found, before=same, after=same, **empty, columns=[], params=[], metrics=[], batches=Batches(), ledger=Ledger()
    )
    assert judgement.failures(quiet) == judgement.warnings(quiet) == []
    assert "the same, byte by byte" in pull_request.page(quiet)
    assert pull_request.page(quiet).count("\n") < 8


# -- the script


@pytest.mark.dvc
def test_the_review_builds_what_nobody_pushed_and_writes_its_page(tmp_path: Path):
    """A runner has a fresh clone, and here a remote without anything in it."""
    author = States(tmp_path / "author")
    shutil.copytree(ROOT / ".ci", author.root / ".ci")
    author.tables(rows())
    author.metrics()
    author.commit("start")
    author.git("checkout", "-q", "-b", "change")
    author.tables(rows(c8={"corrected_transcript": "another text"}))
    author.metrics(seed=2)
    author.commit("change")

    runner = States.__new__(States)
    runner.root = tmp_path / "runner"
    subprocess.run(["git", "clone", "-q", author.root, runner.root], check=True)
    runner.run("bash", ".ci/review", "origin/main", "review.md")
    page = (runner.root / "review.md").read_text()
    assert "## Data review: ✅" in page
    assert "1 corrected" in page
    assert "<del>kiss the</del> <ins>another text</ins> <del>sky 8</del>" in page
    assert runner.git("status", "--porcelain") == "?? review.md"

    author.metrics(0.5, passed=False)
    author.commit("shut")
    runner.git("pull", "-q", "origin", "change")
    runner.run("bash", ".ci/review", "origin/main", "review.md", status=1)
    assert "❌ the gate is shut" in (runner.root / "review.md").read_text()


# -- the workflow


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_pins_its_actions_and_runs_no_text_of_a_pull_request(path: Path):
    workflow = yaml.safe_load(path.read_text())
    events = {"push", "pull_request", "schedule", "workflow_dispatch"}
    assert set(workflow[True]) <= events, "`on` is read as true by YAML 1.1"
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), "an expression in a script is an injection"
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step.get("uses", f"x@{'0' * 40}"))
    assert all(re.search(r"# v\d", line) for line in path.read_text().splitlines() if " uses: " in f" {line}")
    assert "secrets." not in path.read_text()


def test_the_job_that_runs_a_pull_request_can_write_nothing_and_the_one_that_writes_runs_nothing_of_it():
    assert REVIEW["permissions"] == {}
    review, comment = REVIEW["jobs"]["review"], REVIEW["jobs"]["comment"]
    assert review["permissions"] == {"contents": "read"}
    assert comment["permissions"] == {"pull-requests": "write"}
    assert not any("checkout" in step.get("uses", "") for step in comment["steps"])
    assert "head.repo.full_name == github.repository" in comment["if"]
    [checkout] = [step for step in review["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"]["persist-credentials"] is False
    assert checkout["with"]["fetch-depth"] == 0


def test_the_workflow_finds_its_comment_by_the_first_line_of_the_page():
    assert pull_request.MARKER in REVIEW["jobs"]["comment"]["steps"][-1]["env"]["MINE"]


def test_a_linter_for_what_is_unsafe_in_workflows_finds_nothing():
    zizmor = Path(sys.executable).parent / "zizmor"
    done = subprocess.run(
        [zizmor, "--offline", "--no-progress", *WORKFLOWS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# -- the hooks


@pytest.mark.dvc
def test_hooks_work_without_an_active_environment_and_leave_others_alone(tmp_path: Path):
    made = States(tmp_path / "clone")
    shutil.copytree(ROOT / ".ci", made.root / ".ci")
    made.tables(rows())
    made.metrics()
    made.commit("start")
    folder = made.root / ".git/hooks"
    (folder / "pre-commit").write_text("#!/bin/sh\nexit 0\n")
    for _ in range(2):
        made.run("bash", ".ci/hooks", status=1)
        assert (folder / "pre-commit").read_text() == "#!/bin/sh\nexit 0\n"
    (folder / "pre-commit").unlink()
    made.run("bash", ".ci/hooks")

    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "bare"], check=True)
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    push = ["git", "push", "-q", tmp_path / "bare", "main"]
    done = subprocess.run(push, cwd=made.root, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert any((tmp_path / "remote").rglob("*")), "the data was pushed before the commits"

    made.tables(rows(c0={"corrected_transcript": "other"}))
    made.commit("other")
    now = (made.root / "data/splits.parquet").read_bytes()
    subprocess.run(["git", "checkout", "-q", "HEAD~1"], cwd=made.root, env=bare, check=True, capture_output=True)
    assert (made.root / "data/splits.parquet").read_bytes() != now

    hook = (folder / "pre-push").read_text()
    (folder / "pre-push").write_text(hook.replace(str(Path(sys.executable).parent), "/gone"))
    done = subprocess.run(push, cwd=made.root, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "make hooks" in done.stderr
