"""The worst cases as markup: what was said and what was heard, word by word, and the sound."""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mondegreen.figures import Report, percent
from mondegreen.markup import Html, join, tag, text
from mondegreen.worst import PLAYABLE

SHOWN_WORDS = 80
"""Words of a case's alignment, and characters times ten of its transcripts; the rest is counted."""


def worst_cases(report: Report, clips: Mapping[str, bytes]) -> Html:
    """Return the worst cases as a list, word by word; `clips` is the sound of some of them, by case_id."""
    cases = report["worst_cases"]
    if not cases:
        return tag("p", "None is shown.", class_="plain")
    lead = (
        f"The {len(cases)} valid cases with the most errors per word said; in silence, every word heard is an error. "
        f"Compared under the normaliser {report['dataset']['normaliser']}. {len(clips) or 'None'} can be played."
    )
    key = tag(
        "p",
        *_join_words([_substituted("said", "heard"), _gone("not heard"), _extra("heard, not said")]),
        class_="diff",
    )
    items = [_case(number, case, clips.get(case["case_id"])) for number, case in enumerate(cases, 1)]
    return join([tag("p", lead, class_="soft"), key, tag("ol", *items, class_="cases")])


def _case(number: int, case: Mapping[str, Any], clip: bytes | None) -> Html:
    rate = f"{percent(case['wer'])} WER" if case["wer"] is not None else f"{case['word_errors']} words in silence"
    facts = {
        "confidence": None if case["model_confidence"] is None else f"{case['model_confidence']:.2f}",
        "speaker": case["speaker_id"],
        "model": case["model_version"],
        "language": case["language"],
        "length": None if case["duration"] is None else f"{case['duration']:.1f} s",
        "split": case["split"] or "left out",
    }
    shown = [join([f"{name} ", tag("bdi", _cut(value))]) for name, value in facts.items() if value is not None]
    sound = None
    if clip is not None:
        source = f"data:{PLAYABLE[case['audio_ext']]};base64,{b64encode(clip).decode()}"
        sound = tag("audio", src=source, controls=True, preload="metadata", aria_label=f"Audio of case {number}")
    types = ", ".join(map(_cut, case["error_types"]))
    raw = [("said", case["corrected_transcript"]), ("heard", case["original_transcript"])]
    as_written = [
        tag("p", f"{who}: ", tag("q", _cut(what, 10 * SHOWN_WORDS), dir="auto") if what else "nothing")
        for who, what in raw
    ]
    return tag(
        "li",
        tag("h3", f"{number}. {rate}", tag("span", types)),
        tag("p", *words(case["edits"]), class_="diff", dir="auto"),
        sound,
        tag("p", join(shown, " · "), class_="facts"),
        tag(
            "details",
            tag("summary", "As written"),
            *as_written,
            tag("p", "case ", tag("code", case["case_id"]), class_="facts"),
        ),
        class_="case",
    )


def words(
    edits: Iterable[Sequence[Any]], *, gone: str = "not heard", extra: str = "not said", most: int = SHOWN_WORDS
) -> list[Html]:
    """Return an alignment, `most` words of it at most; each kind has a sign of its own beside its colour.

    `edits` are [kind, words, words in their place]; `gone` and `extra` say in words, to a screen reader, what a word
    is that stands on one side alone.
    """
    left, rest = most, 0
    shown: list[Html] = []
    for kind, said, heard in edits:
        size = max(len(said), len(heard))
        shown += _words(kind, said[:left], heard[:left], gone, extra)
        rest += max(0, size - left)
        left = max(0, left - size)
    return [*_join_words(shown), *([text(f" … and {rest:,} more words")] if rest else [])]


def _words(kind: str, said: list[str], heard: list[str], gone: str, extra: str) -> list[Html]:
    said, heard = [_cut(word) for word in said], [_cut(word) for word in heard]
    if kind == "substitute":
        return [_substituted(one, other) for one, other in zip(said, heard, strict=True)]
    if kind == "equal":
        return [text(word) for word in said]
    if not said and not heard:
        return []
    return [_gone(" ".join(said), gone) if kind == "delete" else _extra(" ".join(heard), extra)]


def _substituted(said: str, heard: str) -> Html:
    return tag("span", tag("del", said), " → ", tag("ins", heard), class_="sub")


def _gone(said: str, label: str = "not heard") -> Html:
    return tag("del", tag("span", f"{label}: ", class_="hidden"), tag("i", "−"), said, class_="gone")


def _extra(heard: str, label: str = "not said") -> Html:
    return tag("ins", tag("span", f"{label}: ", class_="hidden"), tag("i", "+"), heard, class_="extra")


def _join_words(words: list[Html]) -> Iterator[Html]:
    for at, word in enumerate(words):
        yield Html(f" {word}" if at else word)


def _cut(value: str, most: int = 60) -> str:
    return value if len(value) <= most else f"{value[: most - 1]}…"
