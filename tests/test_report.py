"""The report: true numbers, safe and readable pages, the same bytes from the same tables."""

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import ROOT, case_row, case_table, sound
from mondegreen import batches, distributions, page, params, recommendations, reporting, tables, worst
from mondegreen.charts import Column, columns
from mondegreen.cli import main
from mondegreen.markup import Html, tag, text
from mondegreen.schemas import INFERENCES, PERFORMANCE
from mondegreen.terminal import plain

SETTINGS = params.load(params.Report, ROOT / "params.yaml")
HOSTILE = "</p><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[31m\u202etxt`&amp;\x00"


def runs(*confidences: tuple[float, bool]) -> pd.DataFrame:
    """Return inferences of (confidence, failed)."""
    rows = [
        dict.fromkeys(INFERENCES.arrow.names)
        | {
            "event_id": f"run-{number:05d}",
            "batch": "b",
            "recorded_at": pd.Timestamp("2026-01-01", tz="UTC"),
            "inference_time": 0.5,
            "audio_seconds": 2.0,
            "model_confidence": confidence,
            "failed": failed,
        }
        for number, (confidence, failed) in enumerate(confidences)
    ]
    kinds = {
        "failed": "boolean",
        "model_confidence": "float64",
        "inference_time": "float64",
        "audio_seconds": "float64",
    }
    frame = pd.DataFrame(rows, columns=INFERENCES.arrow.names).astype(kinds)
    return frame.astype({"recorded_at": "datetime64[us, UTC]"})


def measured(*rows: tuple[str, float, str | None]) -> pd.DataFrame:
    """Return measurements of (model, WER, test set), a day apart."""
    return pd.DataFrame(
        [
            dict.fromkeys(PERFORMANCE.arrow.names)
            | {
                "event_id": f"performance-{number}",
                "batch": "b",
                "recorded_at": pd.Timestamp("2026-03-01", tz="UTC") + pd.Timedelta(days=number),
                "model_version": model,
                "wer": wer,
                "cer": wer / 2,
                "metrics": json.dumps({"wer_low": wer - 0.02, "wer_high": wer + 0.02}),
                "metadata": json.dumps({"test_set": test_set, "normaliser": "basic-1"} if test_set else {}),
            }
            for number, (model, wer, test_set) in enumerate(rows)
        ],
        columns=PERFORMANCE.arrow.names,
    ).astype({"recorded_at": "datetime64[us, UTC]", "wer": "float64", "cer": "float64"})


def metrics(cases: pd.DataFrame, valid: pd.DataFrame, **changes: object) -> dict[str, dict]:
    """Return the stages' metrics files as far as the report reads them."""
    shares = {"completeness": 1.0, "consistency": 0.995, "validity": 0.96, "uniqueness": 1.0}
    rates = {"wer": 0.4, "cer": 0.2, "raw_wer": 0.5, "silent_cases": 0, "silence_hallucination_rate": 0.0}
    rows = {"train": len(valid) - 2, "validation": 1, "test": 1}
    candidates = int(cases["corrected_transcript"].notna().sum())
    return {
        "collect": {
            "corrections": candidates,
            "corrections_of_unknown_cases": 0,
            "disputed_cases": 0,
            "correctors": {
                "model:<b>": {
                    **{"corrections": 9, "judged": 4, "same_words": 0.5, "exact": 0.25, "better": 0.75, "worse": 0.0},
                    **{"wer": 0.1, "original_wer": 0.4},
                },
                "rule:unjudged": {
                    **dict.fromkeys(("same_words", "exact", "better", "worse", "wer", "original_wer")),
                    **{"corrections": 3, "judged": 0},
                },
            },
            "normaliser": "basic-1",
            "errors": {"all": rates},
        },
        "quality": {
            "passed": True,
            "quality_metrics": {**shares, "overall_score": 0.98875},
            "counts": {"cases": len(cases), "candidates": candidates, "valid": len(valid), "rejected": 3},
            "issues": [
                {
                    "reason": "markup_in_text",
                    "measure": "validity",
                    "count": 3,
                    "meaning": "the correction holds a tag such as <inaudible>",
                    "remedy": "correct it to what was said",
                    "cases": ["x"],
                }
            ],
            "warnings": [],
            "rejected_by_reason": {"markup_in_text": 3},
        },
        "gate": {
            "thresholds": {"completeness": 0.95, "consistency": 0.9, "validity": 0.95, "uniqueness": 1.0},
            "misses_by": {},
        },
        "split": {"ratios": {name: {"wanted": 0.8, "got": 0.8} for name in rows}, "left_out": {}},
        "dataset": {
            "passed": True,
            "rows": rows,
            "hours": dict.fromkeys(rows, 1.5),
            "speakers": dict.fromkeys(rows, 4),
            "recordings": dict.fromkeys(rows, 4),
            "languages": {"en": len(valid)},
            "bytes": 10**6,
            "uniqueness": 1.0,
            "wer": dict.fromkeys(rows, 0.4),
            "error_types": {"substitution": len(valid)},
        },
    }


def in_splits(valid: pd.DataFrame) -> pd.DataFrame:
    names = ["train"] * (len(valid) - 2) + ["validation", "test"]
    return valid.assign(split=names, component=valid["case_id"], primary_error_type="substitution", origin="failure")


def a_report(cases: pd.DataFrame, settings: params.Report = SETTINGS, **tables_: pd.DataFrame) -> dict:
    """Return the report on `cases`, of which the corrected ones that are not withdrawn are the valid ones."""
    valid = cases[cases["corrected_transcript"].notna() & ~cases["withdrawn"]].reset_index(drop=True)
    found = reporting.report(
        cases=cases,
        valid=valid,
        splits=in_splits(valid),
        inferences=tables_.get("inferences", runs()),
        measured=tables_.get("measured", measured()),
        metrics=metrics(cases, valid),
        settings=settings,
    )
    found["dataset"] |= {"name": "a dataset", "licence": "apache-2.0"}
    return dict(tables.rounded(found))


def rich_cases() -> pd.DataFrame:
    """Return 120 cases over 40 days: every fourth waits, two are long loops, one was heard in silence."""
    rows = []
    for number in range(120):
        changes: dict = {
            "recorded_at": pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(hours=8 * number),
            "model_confidence": (number % 20) / 20,
            "duration": 0.4 + number % 37 / 4,
        }
        if number % 4 == 3:
            changes |= {"corrected_transcript": None, "correction_method": None, "error_types": ["truncation"]}
        if number in (0, 4):
            changes["original_transcript"] = "the sky " * 300
        if number == 8:
            changes |= {"original_transcript": "thank you", "corrected_transcript": "", "is_speech": False}
        rows.append(case_row(number, **changes))
    return case_table(rows)


@pytest.fixture(scope="module")
def rich() -> dict:
    return a_report(
        rich_cases(),
        inferences=runs(*[(number % 10 / 10 + 0.05, number % 3 == 0) for number in range(200)]),
        measured=measured(
            ("asr-1", 0.41, "t1"),
            ("asr-2", 0.35, "t1"),
            ("asr-3", 0.39, "t1"),
            ("asr-2", 0.6, None),
            ("asr-4", 0.3, "t2"),
        ),
    )


def test_the_seeds_keys_are_there(rich: dict):
    assert {"data_management", "performance_trends", "learning_summary", "inference_stats", "version_control"} | {
        "available_datasets"
    } == rich["system_statistics"].keys()
    assert {"system_statistics", "performance_trends", "data_quality_assessment", "recommendations"} <= rich.keys()
    wanted = {"total_failed_cases", "corrected_cases", "correction_rate", "error_type_distribution"}
    assert wanted <= rich["system_statistics"]["data_management"].keys()


def test_counts_are_those_of_the_tables(rich: dict):
    counts = rich["system_statistics"]["data_management"]
    assert (counts["total_failed_cases"], counts["corrected_cases"], counts["uncorrected_cases"]) == (120, 90, 30)
    assert counts["correction_rate"] == 0.75
    assert counts["error_type_distribution"]["truncation"] == 30
    assert sum(row["cases"] for row in rich["correction_rate"]["periods"]) == 120
    assert sum(row["corrected"] for row in rich["correction_rate"]["periods"]) == 90
    assert sum(row["cases"] for row in rich["durations"]["bins"]) == 90
    assert sum(row["count"] for row in rich["calibration"]["bins"]) == 200
    assert rich["system_statistics"]["inference_stats"]["failed"] == sum(number % 3 == 0 for number in range(200))


def test_withdrawn_cases_are_counted_and_never_shown():
    rows = [case_row(number) for number in range(10)]
    rows += [case_row(10, withdrawn=True, original_transcript="a secret said", error_types=["secret_type"])]
    found = a_report(case_table(rows))
    counts = found["system_statistics"]["data_management"]
    assert (counts["total_failed_cases"], counts["withdrawn_cases"]) == (10, 1)
    shown = json.dumps(found) + page.render(found, {})
    assert "secret" not in shown
    assert "case-00010" not in shown


def test_a_case_counts_once_under_a_type_that_the_agent_and_the_alignment_both_found():
    cases = case_table([case_row(0, error_types=["substitution", "mine"]), case_row(1)])
    found = {row["error_type"]: row for row in distributions.error_types(cases, cases)}
    assert found["substitution"] == {"error_type": "substitution", "corrected": 2, "uncorrected": 0, "valid": 2}
    assert found["mine"]["corrected"] == 1


@pytest.mark.parametrize(
    ("days", "unit", "periods"),
    [(1, "day", 1), (60, "day", 60), (61, "week", None), (500, "month", None), (36_000, "year", 60)],
)
def test_periods_are_as_short_as_fits(days: int, unit: str, periods: int | None):
    start = pd.Timestamp("1926-01-05", tz="UTC")
    cases = case_table(
        [case_row(number, recorded_at=start + pd.Timedelta(days=day)) for number, day in enumerate((0, days - 1))]
    )
    found = distributions.over_time(cases)
    assert found["unit"] == unit
    assert len(found["periods"]) <= distributions.MAX_PERIODS
    assert periods is None or len(found["periods"]) == periods
    assert sum(row["cases"] for row in found["periods"]) + found["earlier"] == 2


def test_confidence_of_runs_and_its_gap_by_hand():
    found = distributions.calibration(
        runs((0.95, True), (0.95, False), (0.15, True), (0.15, True)), case_table([]), confident=0.9, wrong=0.5
    )
    assert found["basis"] == "runs"
    assert [(row["count"], row["right"]) for row in found["bins"]] == [(2, 0.0), (2, 0.5)]
    assert found["gap"] == pytest.approx((2 * 0.15 + 2 * 0.45) / 4)
    assert (found["confident_runs"], found["confident_failed_runs"]) == (2, 1)


def test_without_successful_runs_confidence_is_held_against_words():
    said = {"corrected_transcript": "one two three four", "model_confidence": 1.0}
    cases = case_table(
        [
            case_row(0, original_transcript="one two", **said),
            case_row(1, original_transcript="one two three for", **said),
        ]
    )
    found = distributions.calibration(runs((1.0, True)), cases, confident=0.9, wrong=0.5)
    assert found["basis"] == "cases"
    assert [(row["low"], row["count"], row["right"]) for row in found["bins"]] == [(0.9, 2, 0.625)]
    assert (found["confident_cases"], found["confident_and_wrong"]) == (2, 1)


def test_the_worst_come_first_and_their_edits_give_back_both_texts():
    cases = case_table(
        [
            case_row(0, original_transcript="kiss this guy", corrected_transcript="kiss the sky"),
            case_row(1, original_transcript="a b c d", corrected_transcript="a"),
            case_row(2, original_transcript="hello you", corrected_transcript="", is_speech=False),
        ]
    )
    first, second, third = worst.worst_cases(cases, in_splits(cases), 3, "basic-1")
    assert [each["case_id"] for each in (first, second, third)] == ["case-00001", "case-00002", "case-00000"]
    assert (first["wer"], second["wer"], second["word_errors"]) == (3.0, None, 2)
    assert third["edits"] == [["equal", ["kiss"], ["kiss"]], ["substitute", ["the", "sky"], ["this", "guy"]]]


def recommended(name: str, cases: pd.DataFrame, **changes: object) -> list[dict]:
    tables_ = {key: changes.pop(key) for key in ("measured", "inferences") if key in changes}
    settings = params.Report(**{**vars(SETTINGS), **changes})
    return [each for each in a_report(cases, settings, **tables_)["recommendations"] if each["rule"] == name]


def test_recommendations_name_numbers():
    cases = case_table(
        [case_row(number, error_types=["truncation"]) for number in range(17)]
        + [
            case_row(number, error_types=["truncation"], corrected_transcript=None, correction_method=None)
            for number in range(17, 58)
        ]
    )
    [found] = [each for each in recommended("more_of_type", cases) if each["error_type"] == "truncation"]
    assert found["text"] == "83 more corrected `truncation` cases to reach 100; 41 uncorrected ones wait."
    assert (found["more_cases"], found["uncorrected"]) == (83, 41)
    assert recommended("more_of_type", cases, min_cases_per_type=17) == []
    [found] = recommended("low_correction_rate", cases)
    assert found["more_cases"] == 47 - 17
    assert recommended("low_correction_rate", cases, min_correction_rate=0.2) == []


def test_every_rule_can_speak_and_can_be_silent():
    late = pd.Timestamp("2026-06-01", tz="UTC")
    rows = [case_row(number, speaker_id="s1", model_confidence=1.0, conflicting_corrections=1) for number in range(20)]
    rows += [case_row(20, speaker_id=None), case_row(21, recorded_at=late, speaker_id=None)]
    rows += [case_row(22, corrected_transcript=None, correction_method=None)]
    models = measured(("asr-1", 0.3, "t"), ("asr-2", 0.4, "t"), ("asr-2", 0.5, None))
    loud = {"max_without_speaker": 0.05, "min_correction_rate": 1.0, "min_measurements": 4, "wrong": 0.1}
    said = a_report(case_table(rows), params.Report(**{**vars(SETTINGS), **loud}), measured=models)["recommendations"]
    spoken = {each["rule"] for each in said}
    assert spoken == recommendations.RECOMMENDATIONS.keys()
    assert not [each["text"] for each in said if re.search(r"[{}]|None|nan", each["text"])]
    quiet = {
        "min_correction_rate": 0.0,
        "max_waiting_days": 1000,
        "min_cases_per_type": 0,
        "min_rejected": 4,
        "max_disputed": 20,
        "quality_margin": 0.001,
        "min_test_cases": 1,
        "min_test_speakers": 4,
        "max_speaker_share": 1.0,
        "max_without_speaker": 1.0,
        "max_wer_increase": 0.11,
        "min_measurements": 3,
        "max_unnamed_measurements": 1,
        "max_confident_wrong": 1.0,
    }
    assert (
        a_report(case_table(rows), params.Report(**{**vars(SETTINGS), **quiet}), measured=models)["recommendations"]
        == []
    )


def test_a_worse_model_is_named_only_within_one_test_set(make_cases):
    [found] = recommended("worse_model", make_cases(), measured=measured(("a", 0.3, "t"), ("b", 0.33, "t")))
    assert "`b`" in found["text"]
    assert "3.0 points" in found["text"]
    assert "overlap" in found["text"]
    for rows in (
        [("a", 0.3, "t"), ("b", 0.4, "u")],
        [("a", 0.3, None), ("b", 0.4, None)],
        [("a", 0.3, "t"), ("b", 0.2, "t")],
    ):
        assert recommended("worse_model", make_cases(), measured=measured(*rows)) == []


def test_the_gate_is_worth_a_warning_when_a_few_defects_shut_it(make_cases):
    [found] = recommended("quality_margin", make_cases(200))
    assert (found["measure"], found["more_defects"]) == ("validity", 3)  # 0.96 of 200 is 192; at 189 it is below 0.95


class Page(HTMLParser):
    """Tags, attributes and text of a page, as a browser would see them."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_what_comes_from_outside_is_text_and_nothing_else():
    names = ("original_transcript", "corrected_transcript", "speaker_id", "model_version", "language", "case_id")
    rows = [case_row(number) for number in range(10)]
    rows.append(case_row(10, **dict.fromkeys(names, HOSTILE + " word"), error_types=[HOSTILE]))
    rows[-1]["original_transcript"] = HOSTILE * 3
    cases = case_table([case_row(10, **{name: rows[-1][name] for name in names}, error_types=[HOSTILE]), *rows[:-1]])
    found = a_report(cases, measured=measured((HOSTILE, 0.4, HOSTILE), (HOSTILE, 0.6, HOSTILE)))
    found["dataset"]["name"] = found["dataset"]["licence"] = HOSTILE
    content = page.render(found, {HOSTILE + " word": b"RIFF"})
    seen = Page(content)
    assert not {"script", "img", "link", "iframe", "object", "base", "form"} & {name for name, _ in seen.tags}
    assert not [key for _, attributes in seen.tags for key in attributes if key.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", content)
    assert plain(HOSTILE)[:40] in "".join(seen.words)
    for frame in reporting.plots(found).values():
        assert not re.search("[<>\x00\x1b\u202e]", frame.to_csv(index=False))


def test_the_page_needs_nothing_from_outside(rich: dict):
    seen = Page(page.render(rich, {}))
    for _, attributes in seen.tags:
        for key in ("src", "href", "srcset", "action", "data", "poster"):
            assert attributes.get(key, "#").startswith(("#", "data:audio/"))
    style = next(words for words in seen.words if ":root" in words)
    assert not re.search(r"url\(|@import|https?:", style)


def test_the_page_is_accessible(rich: dict):
    seen = Page(page.render(rich, {}))
    levels = [int(name[1]) for name, _ in seen.tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert dict(seen.tags)["html"]["lang"] == "en"
    drawn = [attributes for name, attributes in seen.tags if name == "svg"]
    assert len(drawn) >= 8
    assert all(each["role"] == "img" and len(each["aria-label"]) > 20 for each in drawn)
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for name, attributes in seen.tags if name == "a"}
    assert links <= set(ids)


def luminance(colour: str) -> float:
    """Return the relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


@pytest.mark.parametrize("scheme", range(3))
def test_colours_have_contrast(scheme: int):
    from mondegreen.stylesheet import STYLESHEET

    blocks = re.findall(r":root\{([^}]*)\}", STYLESHEET)
    colours = dict(re.findall(r"--([\w-]+):\s*(#\w+)", blocks[scheme]))
    pairs = [(ink, ground) for ink in ("ink", "soft", "first", "good", "bad") for ground in ("paper", "card")]
    pairs += [(kind, f"{kind}-bg") for kind in ("sub", "del", "ins")]
    for ink, ground in pairs:
        light, dark = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground}"


def test_nothing_measured_is_said_in_words():
    found = a_report(case_table([case_row(number, duration=None, frames=None) for number in range(5)]))
    words = "".join(Page(page.render(found, {})).words)
    assert "No model was measured yet" in words
    assert "The length of no valid case is known" in words
    assert "No run and no valid case has a confidence" in words
    assert "No run is recorded" in words


def test_what_is_not_all_is_never_shown_as_all():
    from mondegreen.figures import percent

    assert [percent(share) for share in (1.0, 0.99996, 0.9994, 0.00004, 0.0, None)] == [
        "100.0%",
        "> 99.9%",
        "99.9%",
        "< 0.1%",
        "0.0%",
        "–",
    ]


def test_markup_escapes_what_is_not_markup():
    assert tag("p", "<b>", Html("<b>"), 1.50, None, title='"<') == '<p title="&quot;&lt;">&lt;b&gt;<b>1.5</p>'
    assert tag("audio", controls=True, hidden=False, aria_label="a") == '<audio controls aria-label="a"></audio>'
    assert text("a\u202eb\x00c") == "a\ufffdb\ufffdc"
    assert "viewBox" in columns([Column("a", [(1, "first")], "<note>")], name="n", summary="s")


def test_clips_are_capped_in_number_and_size(tmp_path: Path):
    rows = []
    for number, seconds in enumerate((1.0, 9.0, 1.0, 1.0, 1.0)):
        rows.append(dict.fromkeys(batches.PACK.names))
        rows[-1] |= {"sha256": f"{number:064x}", "bytes": sound(seconds, seed=number), "ext": ".wav"}
    (tmp_path / "sample").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, batches.PACK), tmp_path / "sample/audio-00000.parquet", row_group_size=2)
    exts = (".wav", ".wav", ".aiff", ".wav", ".wav")
    cases = [
        {"case_id": f"c{at}", "audio_sha256": row["sha256"], "audio_ext": ext, "audio_bytes": len(row["bytes"])}
        for at, (row, ext) in enumerate(zip(rows, exts, strict=True))
    ]
    found = worst.clips(cases, tmp_path, most=2, most_bytes=100_000)
    assert list(found) == ["c0", "c3"]
    assert found["c3"] == rows[3]["bytes"]
    assert worst.clips(cases, tmp_path, most=0, most_bytes=100_000) == {}


def test_the_page_stays_small_whatever_the_cases_hold(rich: dict):
    long = case_table(
        [case_row(number, original_transcript="loop " * 50_000, error_types=["x" * 5000]) for number in range(30)]
    )
    assert len(page.render(a_report(long), {})) < 300_000
    assert len(page.render(rich, {})) < 150_000


def test_same_tables_same_bytes(rich: dict):
    again = a_report(
        rich_cases().sample(frac=1, random_state=1).sort_values("case_id", ignore_index=True),
        inferences=runs(*[(number % 10 / 10 + 0.05, number % 3 == 0) for number in range(200)]),
    )
    assert again["worst_cases"] == rich["worst_cases"]
    assert page.render(rich, {}) == page.render(json.loads(json.dumps(rich)), {})


# In a real browser: Chromium is what CI installs.

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")

MEASURE = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const apart = ".scroll, .hidden, svg, details:not([open])";
  const all = [...page.querySelectorAll("body *")].filter(each => !each.closest(apart));
  const over = all.filter(each => each.getBoundingClientRect().right > root.clientWidth + 1);
  const wide = over.map(each => each.outerHTML.slice(0, 80));
  const cut = [...page.querySelectorAll("svg text")].filter(each => {{
    const box = each.getBBox(), view = each.ownerSVGElement.viewBox.baseVal;
    return box.x < -1 || box.x + box.width > view.width + 1 || box.y + box.height > view.height + 1;
  }}).map(each => each.textContent);
  document.body.textContent = JSON.stringify({{
    client: root.clientWidth, scroll: root.scrollWidth, height: root.scrollHeight, wide, cut,
    svg: page.querySelectorAll("svg").length, audio: page.querySelectorAll("audio").length,
  }});
}}
</script>"""


def chromium(tmp_path: Path, *arguments: str) -> str:
    """Run Chromium, offline and with a profile of its own; return what it printed."""
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    alone = ["--headless", "--no-sandbox", "--disable-component-update", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [str(CHROMIUM), *alone, *quiet, "--disable-dev-shm-usage", "--hide-scrollbars", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_nothing_is_wider_than_the_screen(rich: dict, width: int, tmp_path: Path):
    content = page.render(rich, {rich["worst_cases"][0]["case_id"]: sound()})
    frame = tmp_path / "frame.html"
    frame.write_text(MEASURE.format(width=width, page=html.escape(content)), encoding="utf-8")
    printed = chromium(tmp_path, "--virtual-time-budget=5000", "--dump-dom", frame.as_uri())
    found = json.loads(html.unescape(re.search(r"<body[^>]*>(.*)</body>", printed, re.DOTALL)[1]))
    assert found["client"] == width
    assert found["scroll"] <= width
    assert (found["wide"], found["cut"]) == ([], [])
    assert found["svg"] >= 8
    assert found["audio"] == 1
    assert found["height"] > 2000


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_it_follows_the_scheme(rich: dict, scheme: str, tmp_path: Path):
    (tmp_path / "page.html").write_text(page.render(rich, {}), encoding="utf-8")
    setting = f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"
    picture = tmp_path / "page.png"
    where = (tmp_path / "page.html").as_uri()
    chromium(tmp_path, setting, "--window-size=1280,1000", f"--screenshot={picture}", where)
    assert picture.stat().st_size > 30_000
    printed = chromium(tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}", where)
    assert printed == ""
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


# The command and the stage, on a report that is built.


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that looks like a repository with a report, and where DVC says that all is up to date."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "data/report").mkdir(parents=True)
    (tmp_path / "data/report/report.html").write_text("<p>the page</p>")
    (tmp_path / "data/report/report.json").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_copies_the_page_or_the_facts(built: Path, monkeypatch, capsys):
    monkeypatch.setattr("mondegreen.status.stale_stages", lambda root: [])
    assert main(["report"]) == 0
    assert capsys.readouterr().out.strip() == str(built / "data/report/report.html")
    assert main(["report", "--output", "new/weekly.json"]) == 0
    assert (built / "new/weekly.json").read_text() == "{}\n"
    assert main(["report", "--output", "weekly.html"]) == 0
    assert (built / "weekly.html").read_text() == "<p>the page</p>"
    said = capsys.readouterr()
    assert said.out.splitlines() == ["new/weekly.json", "weekly.html"]
    assert said.err == ""
    assert main(["report", "--output", "data"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_command_says_when_the_report_is_old_or_not_there(built: Path, monkeypatch, capsys):
    monkeypatch.setattr("mondegreen.status.stale_stages", lambda root: ["collect", "report"])
    assert main(["report"]) == 0
    assert "not up to date (collect, report changed): run 'dvc repro'" in capsys.readouterr().err
    (built / "data/report/report.html").unlink()
    assert main(["report"]) == 1
    assert "dvc repro" in capsys.readouterr().err


def test_the_command_opens_the_page(built: Path, monkeypatch, capsys):
    monkeypatch.setattr("mondegreen.status.stale_stages", lambda root: [])
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda where: opened.append(where) or True)
    assert main(["report", "--open", "--output", "weekly.json"]) == 0
    assert opened == [(built / "data/report/report.html").as_uri()]
    monkeypatch.setattr("webbrowser.open", lambda where: False)
    assert main(["report", "--open"]) == 1
    assert "open" in capsys.readouterr().err
