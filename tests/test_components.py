"""Components: what connects cases, and what does not."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mondegreen.components import KEYS, components, connect, explain, link_keys, links, shared_counts

TEXT = "please turn the lights in the hall on again"
COLUMNS = ("case_id", "speaker_id", "recording_id", "audio_sha256", "pcm_sha256", "corrected_transcript")


def cases(*rows: dict[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {column: pd.Series([row.get(column) for row in rows], dtype="str") for column in COLUMNS},
    )


def found(*rows: dict[str, str | None], min_shared_words: int = 8) -> list[str]:
    named = [{"case_id": f"c{number}", **row} for number, row in enumerate(rows)]
    return components(cases(*named), min_shared_words=min_shared_words).tolist()


@pytest.mark.parametrize("kind", ["speaker_id", "recording_id", "audio_sha256", "pcm_sha256"])
def test_each_key_connects_and_no_value_connects_nothing(kind):
    assert found({kind: "x"}, {kind: "y"}, {kind: "x"}) == ["c0", "c1", "c0"]
    assert found({kind: None}, {kind: None}, {kind: ""}, {kind: ""}, {kind: " "}, {kind: " "}) == [
        f"c{number}" for number in range(6)
    ]


def test_equal_values_of_different_keys_do_not_connect():
    assert found({"speaker_id": "x"}, {"recording_id": "x"}) == ["c0", "c1"]


def test_a_long_text_connects_after_normalising_and_a_short_one_does_not():
    assert found({"corrected_transcript": TEXT}, {"corrected_transcript": TEXT.upper() + "!"}) == ["c0", "c0"]
    assert found({"corrected_transcript": "thank you"}, {"corrected_transcript": "thank you"}) == ["c0", "c1"]
    assert found({"corrected_transcript": TEXT}, {"corrected_transcript": TEXT}, min_shared_words=10) == ["c0", "c1"]


def test_chains_connect_over_different_keys():
    rows = ({"speaker_id": "s", "recording_id": "r"}, {"audio_sha256": "a"}, {"recording_id": "r", "audio_sha256": "a"})
    assert found(*rows) == ["c0"] * 3


def test_a_component_is_named_by_its_smallest_case():
    table = cases({"case_id": "b", "speaker_id": "s"}, {"case_id": "a", "speaker_id": "s"}, {"case_id": "0"})
    table.index = [7, 7, 3]
    named = components(table, min_shared_words=8)
    assert named.tolist() == ["a", "a", "0"]
    assert named.index.tolist() == [7, 7, 3]


def test_no_cases_no_components():
    assert components(cases(), min_shared_words=8).empty


def test_links_say_what_joins_how_many():
    table = cases(
        *({"case_id": f"c{n}", "speaker_id": "default" if n < 5 else "s" if n < 7 else None} for n in range(9))
    )
    found = links(link_keys(table, min_shared_words=8))
    assert found.loc["speaker_id"].tolist() == [2, 7, "default", 5]
    assert found.loc["recording_id", ["keys", "cases", "largest_cases"]].tolist() == [0, 0, 0]
    assert tuple(found.index) == KEYS


def explained(*rows: dict[str, str | None]) -> str:
    table = cases(*({"case_id": f"c{number:03}", **row} for number, row in enumerate(rows)))
    keys = link_keys(table, min_shared_words=8)
    return explain(connect(table["case_id"], keys), keys)


def test_one_key_that_dominates_is_named():
    sentence = explained(*[{"speaker_id": "default"}] * 49, {"speaker_id": "ann"})
    assert sentence.startswith("speaker_id 'default' joins 98 % of the cases (49 of 50)")


def test_a_chain_that_dominates_is_explained_by_the_key_that_makes_it():
    rows = [{"recording_id": f"r{n // 4}", "corrected_transcript": f"{TEXT} {(n + 1) // 4}"} for n in range(40)]
    for row in rows[1::4] + rows[2::4]:  # only the last case of a recording and the first of the next share a text
        row["corrected_transcript"] = None
    assert "without long_text there would be 10 components instead of 1: raise split.min_sh" in explained(*rows)


def test_nothing_is_explained_where_nothing_dominates():
    assert explained({"speaker_id": "a"}, {"speaker_id": "b"}, {"speaker_id": "c"}) == ""


def test_shared_counts_see_a_leak_of_each_kind():
    row = dict(zip(COLUMNS[1:], ("s", "r", "a", "p", TEXT), strict=True))
    table = cases({"case_id": "1", **row}, {"case_id": "2", **row}, {"case_id": "3"}, {"case_id": "4"})
    table["component"] = ["1", "1", "3", "4"]
    table["split"] = ["train", "test", "validation", "test"]
    counts = shared_counts(table, link_keys(table, min_shared_words=8))
    assert list(counts) == ["speakers", "recordings", "audio", "audio_samples", "long_texts", "components"]
    expected = {"train_validation": 0, "train_test": 1, "validation_test": 0}
    assert all(pairs == expected for pairs in counts.values())


keys = st.sampled_from([None, "", "a", "b", "c", "d"])
tables = st.lists(st.tuples(keys, keys, keys, keys), max_size=14)


def by_hand(rows: list[tuple[str | None, ...]]) -> list[str]:
    """Connect by brute force: take the smaller name until nothing changes."""
    names = [f"c{number:02}" for number in range(len(rows))]
    for _ in rows:
        for i, left in enumerate(rows):
            for j, right in enumerate(rows):
                if any(a and a == b for a, b in zip(left, right, strict=True)):
                    names[i] = names[j] = min(names[i], names[j])
    return names


@given(tables, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_components_equal_brute_force_in_any_row_order(rows, random):
    table = cases(
        *({"case_id": f"c{n:02}", **dict(zip(COLUMNS[1:5], row, strict=True))} for n, row in enumerate(rows)),
    )
    order = random.sample(range(len(rows)), len(rows))
    expected = by_hand(rows)
    named = components(table.iloc[order], min_shared_words=8)
    assert named.tolist() == [expected[number] for number in order]
    table["component"], table["split"] = pd.Series(expected, dtype="str"), "train"
    table.loc[table["component"] > "c04", "split"] = "test"
    counts = shared_counts(table, link_keys(table, min_shared_words=8))
    assert all(count == 0 for pairs in counts.values() for count in pairs.values())
