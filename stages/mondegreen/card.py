"""The dataset card: README.md of the dataset, with the YAML block that `datasets.load_dataset` and the Hub read.

Every figure in it is computed from the exported rows; every name in it is escaped, since names come from anywhere.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from datasets import DatasetInfo, SplitDict, SplitInfo
from huggingface_hub import DatasetCardData

from mondegreen.dataset import Contents
from mondegreen.schemas import AUGMENTED, FAILURE, REPLAY, UNLABELLED
from mondegreen.shards import features
from mondegreen.totals import Figures, steps

LISTED = 20
"""How many names a list of the card shows; the rest is counted."""

_LICENCES = {"apache-2.0", "mit", "cc0-1.0", "odc-by", "odbl", "pddl", "unknown", "other"}
_CREATIVE_COMMONS = re.compile(r"cc-by(-nc)?(-sa|-nd)?-(2\.0|2\.5|3\.0|4\.0)")
_SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}

_LOAD_AUDIO = """\
Without torch, the bytes are decoded by soundfile:

```python
import io

import soundfile
from datasets import Audio, load_dataset

dataset = load_dataset("data/dataset").cast_column("audio", Audio(decode=False))
row = dataset["train"][0]
samples, sample_rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
```

With torch and torchcodec, `datasets` decodes and resamples:

```python
from datasets import Audio, load_dataset

dataset = load_dataset("data/dataset").cast_column("audio", Audio(sampling_rate=16000))
samples = dataset["train"][0]["audio"]["array"]
```
"""

_LOAD_TEXT = """\
```python
from datasets import load_dataset

dataset = load_dataset("data/dataset")
row = dataset["train"][0]
heard, said = row["original_transcript"], row["text"]
```
"""

_METHODS = {
    "speed": "played faster or slower, pitch and all (Ko et al., Audio Augmentation for Speech Recognition, 2015)",
    "noise": "noise under the voice, `noise_snr` dB below it",
    "gain": "louder or quieter, by `gain` dB",
    "telephone": "the band of a telephone, in Hz, and eight bits of G.711",
}

_SPEC_AUGMENT = """\
Masks over time and frequency (SpecAugment, Park et al., arXiv:1904.08779) are not here: they are drawn anew whenever a
model meets a clip, so they belong into training (`apply_spec_augment` of the Whisper configuration in transformers).
"""

_REPLAY_IS_MISSING = """\
- It holds failures only. A recogniser trained on nothing else forgets what it could do (catastrophic forgetting): mix
  in speech that it gets right (`replay` in params.yaml), and measure on an ordinary test set as well.
"""

_REPLAY_IS_THERE = """\
- Most of it is failures. Train on them and the replayed speech together, and look at both `test` and, where there is
  one, `retention`: better on the one and worse on the other is forgetting.
"""

_REPLAY = """\
A recogniser that is trained on its failures alone gets worse at what it could do. A small part of ordinary speech,
mixed in, prevents much of that: with 0.6 % of the original data, the best of the methods that Vander Eeckt and Van
hamme compared (Continual Learning for Monolingual End-to-End Automatic Speech Recognition, arXiv:2112.09427) closed
more than 40 % of the gap between plain fine-tuning and training on everything; see also Chang et al., Towards Lifelong
Learning of End-to-end ASR, arXiv:2104.01616. Rows with `origin` `replay` share no speaker, recording, sound or long
text with validation and test; those in `retention` share none with train either, and are there to measure forgetting.
"""

_LIMITS = """\
- Word error rates on it say how hard these cases are, not how good a recogniser is in general. A rate compares only
  with one measured on the same cases with the same normaliser.
- Speakers, recordings, audio and long texts never span two splits. Cases that a release froze into validation or test
  never move to train: measure there, and do not train on them.
- Voices and words are personal data. Use them only for what their speakers agreed to; who withdraws is left out of
  every later version.
"""


def card(
    figures: Figures,
    contents: Contents,
    quality: Mapping[str, Any],
    *,
    name: str,
    licence: str,
    normaliser: str,
    require_audio: bool,
) -> str:
    """Return the card of a dataset of which `figures` are the totals, written as `contents` says.

    `quality` is the content of metrics/quality.json; `normaliser` names what the word error rates were measured with.
    """
    rows = figures.by_name("rows")
    failures, copies, replayed = (int(rows[origin]) for origin in (FAILURE, AUGMENTED, REPLAY))
    sections = {
        "Splits": _splits(figures, contents),
        "Error types": _error_types(figures, contents),
        "Languages": _counts(figures.by_name("languages")),
        "How it was made": _origin(figures, normaliser),
    }
    if copies:
        sections["Augmentation"] = _augmentation(figures, copies)
    if replayed:
        sections["Replay"] = _replay(figures)
    sections |= {
        "Quality": _quality(quality),
        "Columns": _columns(require_audio),
        "How to load": _LOAD_AUDIO if require_audio else _LOAD_TEXT,
        "Intended use and limits": (_REPLAY_IS_THERE if replayed else _REPLAY_IS_MISSING) + _LIMITS,
        "Licence": escape(licence),
    }
    body = "\n\n".join(f"## {title}\n\n{text.strip()}" for title, text in sections.items())
    kind = "audio and its transcript" if require_audio else "what was heard and what was said"
    summary = (
        f"{failures} phrases that a speech-to-text agent misheard, as pairs of {kind}, to fine-tune it on. "
        "Each was corrected, passed a quality gate, and lies in one split."
        + (f" {copies} copies with other sound are in train." if copies else "")
        + (f" {replayed} utterances that it gets right are beside them." if replayed else "")
        + (" Those in `unlabelled` are not corrected yet: they have no text." if UNLABELLED in contents else "")
    )
    front = _front_matter(figures, contents, name=name, licence=licence, require_audio=require_audio)
    return f"---\n{front}\n---\n\n# {escape(name)}\n\n{summary}\n\n{body}\n"


def escape(text: object) -> str:
    """Return `text` on one line and without a meaning in Markdown or HTML, at most 100 characters of it."""
    line = _line(text)
    shown = line if len(line) <= 100 else line[:99] + "…"
    html = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", html) or "(empty)"


def _line(text: object) -> str:
    """Return `text` on one line, without control characters and lone surrogates."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _front_matter(figures: Figures, contents: Contents, *, name: str, licence: str, require_audio: bool) -> str:
    rows = sum(part.rows for part in contents.values())
    known: dict[str, Any] = {
        "language": _language_codes(figures.by_name("languages")) or None,
        "size_categories": [next((size for most, size in _SIZES.items() if rows < most), "n>10M")],
        "task_categories": ["automatic-speech-recognition" if require_audio else "text-generation"],
        "pretty_name": _line(name),
        "tags": ["mondegreen", "speech-to-text", "asr-error-correction", "fine-tuning"],
    }
    data = DatasetCardData(**known, **_licence(licence))
    splits = SplitDict()
    for split, part in contents.items():
        splits.add(SplitInfo(name=split, num_bytes=part.num_bytes, num_examples=part.rows))
    info = DatasetInfo(
        features=features(require_audio=require_audio),
        splits=splits,
        download_size=sum(part.file_bytes for part in contents.values()),
        dataset_size=sum(part.num_bytes for part in contents.values()),
    )
    data["dataset_info"] = info._to_yaml_dict()
    files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in contents]
    data["configs"] = [{"config_name": "default", "data_files": files}]
    return str(data.to_yaml(line_break="\n"))


def _language_codes(languages: Iterable[str | None]) -> list[str]:
    """Return the ISO 639 codes of the languages, as the Hub knows them: `en` for en-GB, none for a free text."""
    found = (re.fullmatch(r"([a-z]{2,3})(?:[-_].*)?", str(name).lower()) for name in languages if name is not None)
    return sorted({match[1] for match in found if match})


def _licence(licence: str) -> dict[str, Any]:
    """Return the licence as the Hub knows it: by its identifier, or as `other` with a name."""
    identifier = _line(licence).lower()
    if identifier in _LICENCES or _CREATIVE_COMMONS.fullmatch(identifier):
        return {"license": identifier}
    return {"license": "other", "license_name": _line(licence)}


def _splits(figures: Figures, contents: Contents) -> str:
    seconds, words, errors = (figures.by_split(figure) for figure in ("seconds", "words", "errors"))
    table = [
        [
            split,
            part.rows,
            f"{seconds[split] / 3600:.3f}" if split in seconds else "not known",
            figures.distinct.get(("speakers", split), 0),
            figures.distinct.get(("recordings", split), 0),
            f"{errors[split] / words[split]:.1%}" if words.get(split) else "not defined",
            len(part.shards),
        ]
        for split, part in contents.items()
    ]
    return _table(["split", "rows", "hours", "speakers", "recordings", "corpus WER of the recogniser", "shards"], table)


def _error_types(figures: Figures, contents: Contents) -> str:
    tally, total = figures.values.get("error_types", {}), figures.by_name("error_types")
    order = sorted(total, key=lambda kind: (-total[kind], str(kind)))
    table = [[escape(kind), *(int(tally.get((split, kind), 0)) for split in contents)] for kind in order[:LISTED]]
    rest = f"\n\n… and {len(order) - LISTED} more." if len(order) > LISTED else ""
    return "A case may have several.\n\n" + _table(["error type", *contents], table) + rest


def _origin(figures: Figures, normaliser: str) -> str:
    return (
        "Recognisers whose mistakes these are:\n\n"
        + _counts(figures.by_name("models"))
        + "\n\nHow the mistakes were corrected:\n\n"
        + _counts(figures.by_name("methods"))
        + f"\n\nWord error rates and error types come from the alignment of both texts after the normaliser "
        f"{escape(normaliser)}; `text` and `original_transcript` are as they were written."
    )


def _augmentation(figures: Figures, copies: int) -> str:
    """Say what was done to the copies, and what is better left to training."""
    methods = steps(figures)
    parents = sum(count for (figure, _), count in figures.distinct.items() if figure == "parents")
    return (
        f"{copies} copies of {parents} cases of train (`origin` is `augmented`), each "
        "with its parent's text; validation and test are as they were recorded. What was done, `augmentation` says:\n\n"
        + "\n".join(f"- {_METHODS[name]}: {methods[name]}" for name in _METHODS if methods[name])
        + "\n\n"
        + _SPEC_AUGMENT.strip()
    )


def _replay(figures: Figures) -> str:
    """Say how much speech is replayed, from where, and why."""
    said = {f"{split}, text {method}": count for (split, method), count in figures.values["replayed"].items()}
    return _counts(Counter(said)) + "\n\n" + _REPLAY.strip()


def _quality(quality: Mapping[str, Any]) -> str:
    figures = [[escape(name), f"{value:.4f}"] for name, value in sorted(quality["quality_metrics"].items())]
    counts = [[escape(name), count] for name, count in sorted(quality.get("counts", {}).items())]
    text = "Shares of the candidates that the dataset was chosen from:\n\n" + _table(["measure", "share"], figures)
    return text + ("\n\n" + _table(["of the log", "cases"], counts) if counts else "")


_MEANING = {
    "audio": "the clip as it was recorded (`bytes`), named by its content (`path`)",
    "text": "what was really said: the training target; empty for a clip without speech",
    "original_transcript": "what the recogniser said; null where it never heard the clip",
    "case_id": "the case, unique over all splits",
    "error_types": "what was wrong, by the agent and by the alignment",
    "error_score": "how wrong it was, 0 to 1, by the agent; null if unknown",
    "speaker_id": "who spoke; null if unknown",
    "recording_id": "the recording that the clip comes from; null if unknown",
    "language": "language of the speech; null if unknown",
    "duration": "length in seconds",
    "model_version": "the recogniser",
    "correction_method": "who or what corrected it",
    "wer": "normalised word error rate of `original_transcript` against `text`; null if `text` is empty",
    "origin": "`failure`: misheard; `augmented`: a copy with other sound, whose other columns are its parent's; "
    "`replay`: speech that the recogniser gets right",
    "parent_case_id": "of a copy: the case that it is a copy of",
    "augmentation": "of a copy: what was done to the sound, in this order, as JSON",
}


def _columns(require_audio: bool) -> str:
    return _table(
        ["column", "meaning"], [[f"`{name}`", _MEANING[name]] for name in features(require_audio=require_audio)]
    )


def _counts(counts: Mapping[str | None, float]) -> str:
    """Return names with their counts, the most frequent first."""
    named = Counter({name if name is not None else "not stated": 0 for name in counts})
    for name, count in counts.items():
        named[name if name is not None else "not stated"] += int(count)
    order = sorted(named.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"- {escape(name)}: {count}" for name, count in order[:LISTED]]
    return "\n".join([*lines, f"- … and {len(order) - LISTED} more"] if len(order) > LISTED else lines)


def _table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
