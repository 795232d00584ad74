"""The dataset card: a YAML block that any reader parses, and text that no name can break."""

import re

import pyarrow as pa
import pytest
import yaml
from datasets import load_dataset
from huggingface_hub import DatasetCard

from conftest import case_row, case_table
from mondegreen import totals
from mondegreen.card import LISTED, card, escape
from mondegreen.dataset import SplitContents, features
from mondegreen.schemas import SPLITS
from test_dataset import CLIPS, QUALITY, SPLIT_OF, case, export, splits_table, write_packs

HOSTILE = [
    "a: b",
    "---\n---\nx: 1",
    "# no heading",
    "| cell | cell",
    "<script>alert(1)</script>",
    "no",
    "1e3",
    "null",
    "*a* _b_ `c` [d](http://e)",
    "\x00\x1b[31m\u202e",
    "'\"\\",
    "!!python/object:os.system",
    "&anchor *alias",
    "%YAML 1.1",
    "@{}[]",
    "名前",
    "",
]


def columns(rows):
    schema = SPLITS.of(totals.COLUMNS).arrow
    nullable = pa.schema([field.with_nullable(True) for field in schema])
    return pa.Table.from_pandas(rows.reindex(columns=schema.names), nullable, preserve_index=False)


def written(rows, **changes):
    contents = {
        split: SplitContents(len(found), 1000, 900, (f"{split}-00000-of-00001.parquet",))
        for split, found in rows.groupby("split", sort=False)
    }
    options = {"name": "Sample", "licence": "cc-by-4.0", "normaliser": "basic-1", "require_audio": True} | changes
    return card(totals.total([totals.tally(columns(rows))]), contents, QUALITY, **options)


def front(text):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)[1])


@pytest.fixture
def rows():
    return case_table([case_row(number) for number in range(10)]).assign(
        split=["train"] * 8 + ["validation", "test"], origin="failure"
    )


def test_the_yaml_block_says_what_the_files_hold(rows):
    head = front(written(rows))
    assert head["pretty_name"] == "Sample"
    assert head["license"] == "cc-by-4.0"
    assert head["language"] == ["en"]
    assert head["task_categories"] == ["automatic-speech-recognition"]
    assert head["size_categories"] == ["n<1K"]
    assert head["configs"][0]["data_files"][2] == {"split": "test", "path": "data/test-*.parquet"}
    info = head["dataset_info"]
    assert info["features"] == features(require_audio=True)._to_yaml_list()
    assert [(part["name"], part["num_examples"], part["num_bytes"]) for part in info["splits"]] == [
        ("train", 8, 1000),
        ("validation", 1, 1000),
        ("test", 1, 1000),
    ]
    assert (info["download_size"], info["dataset_size"]) == (2700, 3000)


def test_silence_does_not_enter_the_word_error_rate(rows):
    silence = case_row(10, corrected_transcript="", is_speech=False, original_transcript="thank you")
    more = case_table([*rows.to_dict("records"), silence]).assign(split=[*rows["split"], "train"], origin="failure")
    assert "| train | 9 | 0.005 | 8 | 9 | 50.0% | 1 |" in written(more)


def test_text_pairs_are_another_task(rows):
    text = written(rows, require_audio=False)
    assert front(text)["task_categories"] == ["text-generation"]
    assert "audio" not in [feature["name"] for feature in front(text)["dataset_info"]["features"]]
    assert "soundfile" not in text


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_card(rows, name):
    names = dict.fromkeys(["language", "model_version", "speaker_id", "correction_method"], name)
    hostile = rows.assign(**names, error_types=[[name]] * len(rows))
    text = written(hostile, name=name, licence=name, normaliser=name)
    plain = written(rows)
    head = front(text)
    assert head["dataset_info"] == front(plain)["dataset_info"]
    assert head.keys() | {"language", "license_name"} == front(plain).keys() | {"language", "license_name"}
    assert isinstance(head["pretty_name"], str)
    assert all(isinstance(code, str) for code in head.get("language", []))
    assert DatasetCard(text).data.pretty_name == head["pretty_name"]
    text.encode("utf-8")
    body = text.split("\n---\n", 1)[1]
    assert [line for line in body.splitlines() if line.startswith("## ")] == [
        line for line in plain.splitlines() if line.startswith("## ")
    ]
    assert "<script" not in body
    for line in body.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 5, 8)


def test_languages_are_codes_and_norwegian_is_no_boolean(rows):
    mixed = ["en-GB", "no", "zh_Hant", "English, mostly", None, "hin", "y", "EN", "de", "de"]
    assert front(written(rows.assign(language=mixed)))["language"] == ["de", "en", "hin", "no", "zh"]


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("CC-BY-SA-4.0", {"license": "cc-by-sa-4.0"}),
        ("apache-2.0", {"license": "apache-2.0"}),
        ("internal use only", {"license": "other", "license_name": "internal use only"}),
    ],
)
def test_the_licence_is_one_that_the_hub_knows_or_other(rows, licence, expected):
    head = front(written(rows, licence=licence))
    assert {name: head[name] for name in head if name.startswith("license")} == expected


def test_the_text_states_the_figures(rows):
    text = written(rows)
    assert "10 phrases" in text
    assert "| train | 8 | 0.004 | 8 | 8 | 50.0% | 1 |" in text
    assert "- asr-1: 10" in text
    assert "- manual: 10" in text
    assert "basic-1" in text
    assert "| completeness | 1.0000 |" in text
    assert "| substitution | 8 | 1 | 1 |" in text


def test_long_lists_are_cut_and_the_rest_is_counted(rows):
    many = case_table([case_row(number, model_version=f"m{number:03d}") for number in range(50)]).assign(
        split="train", origin="failure"
    )
    assert f"… and {50 - LISTED} more" in written(many)


def test_escape_makes_one_short_plain_line():
    assert escape("a|b\n# c") == r"a\|b \# c"
    assert escape("<b>&") == "&lt;b&gt;&amp;"
    assert escape("") == "(empty)"
    assert escape("a\ud800b") == "a b"
    assert len(escape("x" * 1000)) == 100


def test_its_own_example_loads_the_dataset(tmp_path, monkeypatch):
    rows = splits_table([case(n, SPLIT_OF[n], CLIPS[n]) for n in range(12)], tmp_path)
    export(rows, write_packs(tmp_path, CLIPS), tmp_path / "data/dataset")
    code = re.findall(r"```python\n(.*?)```", (tmp_path / "data/dataset/README.md").read_text(), re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    code = code.replace('"data/dataset")', f'"data/dataset", cache_dir={str(tmp_path / "cache")!r})')
    scope = {"load_dataset": load_dataset}
    exec(code, scope)
    assert len(scope["samples"]) > 1000
    assert scope["sample_rate"] in (8000, 16000)
