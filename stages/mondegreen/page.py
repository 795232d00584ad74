"""The report as one HTML file that needs nothing from outside: no script, no font, no picture from anywhere.

Whatever came from outside (transcripts, names, ids) passes `markup.tag`, which escapes it; the page's content security
policy forbids scripts besides.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from mondegreen import figures
from mondegreen.diffs import worst_cases
from mondegreen.figures import Report, length, percent, table
from mondegreen.markup import Child, Html, join, tag
from mondegreen.stylesheet import STYLESHEET

SHOWN_PER_RULE = 5

_LEADS = {
    "quality_margin": "Keep the gate open:",
    "worse_model": "Look at the latest models:",
    "rejected": "Mend what was rejected:",
    "small_test": "Make the test split larger:",
    "more_of_type": "Record and correct more of the rarer error types:",
}
"""What stands over several recommendations of one rule."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:; base-uri 'none'; form-action 'none'"
_SECTIONS = {
    "todo": "What to do next",
    "cases": "Cases and corrections",
    "quality": "Data quality",
    "dataset": "The dataset",
    "models": "The recogniser and the models",
    "worst": "The worst cases",
}


def render(report: Report, clips: Mapping[str, bytes]) -> str:
    """Return the page on what `reporting.gather` found; `clips` is the sound of some of its worst cases, by case_id."""
    bodies = {
        "todo": _recommendations(report),
        "cases": _grid(figures.error_types(report), figures.correction_rate(report)),
        "quality": _quality(report),
        "dataset": _dataset(report),
        "models": _grid(*figures.performance(report), figures.calibration(report), _inferences(report)),
        "worst": worst_cases(report, clips),
    }
    sections = [
        tag("section", tag("h2", _SECTIONS[key], id=f"{key}-head"), body, id=key, aria_labelledby=f"{key}-head")
        for key, body in bodies.items()
    ]
    name = report["dataset"]["name"]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{name}: report"),
        tag("style", Html(STYLESHEET)),
    ]
    body = [tag("header", *_header(report, name)), tag("main", *sections), tag("footer", *_footer(report))]
    return f"<!doctype html>\n{tag('html', tag('head', *head), tag('body', *body), lang='en')}\n"


def _header(report: Report, name: str) -> Iterator[Html]:
    newest = report["system_statistics"]["data_management"]["last_updated"]
    yield tag("h1", "Report on ", tag("bdi", name))
    yield tag("p", f"State of the tables after the last dvc repro. Newest event: {_moment(newest)}.", class_="soft")
    yield tag(
        "nav",
        tag("ul", *(tag("li", tag("a", line, href=f"#{key}")) for key, line in _SECTIONS.items())),
        aria_label="Sections",
    )
    yield tag("dl", *(_tile(*each) for each in _figures(report)), class_="tiles")


def _figures(report: Report) -> Iterator[tuple[str, Child, str]]:
    """Yield the key figures: name, value, what stands below it."""
    cases, data = report["system_statistics"]["data_management"], report["dataset"]
    quality, errors, sure = report["data_quality_assessment"], data["errors"], report["calibration"]
    yield (
        "Recorded failures",
        f"{cases['total_failed_cases']:,}",
        f"{cases['uncorrected_cases']:,} wait for a correction; {cases['withdrawn_cases']:,} more withdrawn",
    )
    yield "Corrected", percent(cases["correction_rate"]), f"{cases['corrected_cases']:,} cases"
    yield (
        "In the dataset",
        f"{data['cases']:,}",
        f"{length(sum(data['hours'].values()))} in all, audit {'passed' if data['passed'] else 'failed'}",
    )
    verdict = tag("span", "open", class_="good-text") if quality["passed"] else tag("span", "shut", class_="bad-text")
    yield "Quality gate", verdict, f"overall score {quality['quality_metrics']['overall_score']:.3f}"
    wer = errors["wer"]
    yield "WER, cases with speech", percent(wer), f"raw {percent(errors['raw_wer'])}; CER {percent(errors['cer'])}"
    known = f"of {sure['scored_cases']:,} valid cases with a confidence"
    yield "Confident and wrong", f"{sure['confident_and_wrong']:,}" if sure["scored_cases"] else "–", known


def _tile(name: str, value: Child, below: str) -> Html:
    return tag("div", tag("dt", name), tag("dd", value, class_="value"), tag("dd", below, class_="below"))


def _grid(*children: Html | None) -> Html:
    return tag("div", *children, class_="grid")


def _recommendations(report: Report) -> Html:
    groups = [list(found) for _, found in groupby(report["recommendations"], key=lambda each: each["rule"])]
    if not groups:
        return tag("p", "Nothing: no rule of params.yaml, report, has anything to say.", class_="plain")
    return tag("ul", *map(_group, groups), class_="todo plain")


def _group(found: list[dict[str, Any]]) -> Html:
    """Return what one rule recommends as one item; several of a kind in a list of their own."""
    if len(found) == 1:
        return tag("li", _marked(found[0]["text"]))
    items = [tag("li", _marked(each["text"])) for each in found]
    rest = items[SHOWN_PER_RULE:]
    more = tag("details", tag("summary", f"{len(rest)} more"), tag("ul", *rest)) if rest else None
    return tag("li", _LEADS[found[0]["rule"]], tag("ul", *items[:SHOWN_PER_RULE]), more)


def _marked(line: str) -> Html:
    """Return a text whose names stand in backticks."""
    return join(tag("code", tag("bdi", part)) if at % 2 else part for at, part in enumerate(line.split("`")))


def _quality(report: Report) -> Html:
    found = report["data_quality_assessment"]
    counts = found["counts"]
    lead = (
        f"{counts['candidates']:,} candidates (corrected, not withdrawn): {counts['valid']:,} valid, "
        f"{counts['rejected']:,} rejected. A case may be rejected for several reasons."
    )
    rows = [
        [
            tag("code", issue["reason"]),
            f"{issue['count']:,}",
            issue["measure"] or "no defect",
            issue["meaning"],
            issue["remedy"],
        ]
        for issue in found["issues"]
    ]
    heads = ["reason", "cases", "measure", "meaning", "what to do"]
    reasons = table(heads, rows, class_="reasons") if rows else tag("p", "No candidate was rejected.")
    warnings = tag("ul", *(tag("li", line) for line in found["warnings"] or ["No warning."]))
    known = tag("figure", _caption("Worth knowing"), warnings)
    rejected = tag("figure", _caption("Why candidates were rejected", lead), reasons)
    return join([_grid(figures.quality(report), known), rejected, _correctors(report)])


def _correctors(report: Report) -> Html | None:
    found = report["correctors"]
    if not found:
        return None
    rows = [
        [
            tag("code", tag("bdi", method)),
            f"{each['corrections']:,}",
            f"{each['judged']:,}",
            *(_share(each[name]) for name in ("same_words", "better", "worse")),
            f"{_share(each['wer'])} (before: {_share(each['original_wer'])})",
        ]
        for method, each in found.items()
    ]
    says = "Right, better and worse are shares of the judged cases, those that a person has corrected too."
    heads = ["method", "cases", "judged", "right words", "better", "worse", "WER"]
    return tag("figure", _caption("Automatic corrections", says), table(heads, rows))


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _caption(name: str, says: str = "") -> Html:
    return tag("figcaption", tag("h3", name), tag("p", says) if says else None)


def _dataset(report: Report) -> Html:
    data = report["dataset"]
    left = {reason: count for reason, count in data["left_out"].items() if count}
    out = "; ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in left.items())
    languages = ", ".join(f"{name} {count:,}" for name, count in list(data["languages"].items())[:10])
    facts = [
        ["cases", f"{data['cases']:,}, {data['bytes'] / 1e6:,.1f} MB"],
        ["languages", languages or "not named"],
        ["licence", data["licence"]],
        ["left out of valid cases", out or "none"],
        ["silence in which words were heard", _silence(data["errors"])],
        ["normaliser", f"{data['normaliser']}; figures of two normalisers do not compare"],
    ]
    about = tag("figure", _caption("Facts"), table([], facts))
    return join([_grid(figures.splits(report), figures.durations(report)), about])


def _silence(errors: Mapping[str, Any]) -> str:
    silent = errors["silent_cases"]
    return (
        f"{percent(errors['silence_hallucination_rate'])} of {silent:,} clips" if silent else "no clip without speech"
    )


def _inferences(report: Report) -> Html | None:
    found = report["system_statistics"]["inference_stats"]
    if not found["count"]:
        return figures.figure("Runs of the recogniser", "No run is recorded: Recorder.inference does it.", None)
    factor = found["real_time_factor"]
    rows = [
        ["runs", f"{found['count']:,}"],
        ["failed", f"{found['failed']:,} ({percent(found['error_rate'])})"],
        ["time, median", f"{found['median_inference_time']:.2f} s"],
        ["time, 95 % are faster", f"{found['p95_inference_time']:.2f} s"],
        ["time over length of audio", "–" if factor is None else f"{factor:.2f}"],
    ]
    return tag("figure", _caption("Runs of the recogniser"), table([], rows))


def _footer(report: Report) -> Iterator[Html]:
    yield tag(
        "p",
        "Rates are of the corpus: all errors over all words that were said. They describe recorded failures alone, not "
        "all that the recogniser hears. Withdrawn cases are counted, never shown. The same numbers: report.json.",
    )


def _moment(moment: str | None) -> str:
    return "none" if moment is None else re.sub(r"(\.\d+)?\+00:00$", " UTC", moment.replace("T", " "))
