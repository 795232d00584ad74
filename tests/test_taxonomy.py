"""Error types: one pair for each, laws over any pair, and numbers read out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mondegreen.errors import ParamsError
from mondegreen.measuring import COUNTS, measure
from mondegreen.numerals import read_out, readings, tokens
from mondegreen.taxonomy import ERROR_TYPES, error_types

TEXT = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(["no", "No,", "the", "<unk>", "25", "$3.50", "1,000", "6:30", "3rd", "90s", "%", "我", "é"]),
        max_size=14,
    ).map(" ".join),
)
LANGUAGE = st.sampled_from(
    [None, "", "en", "en-US", "am", "ar", "de", "fa", "hi", "ja", "ko", "pl", "vi", "zh", "xx", "?"]
)


@pytest.mark.parametrize(
    ("original", "corrected", "expected"),
    [
        ("same", "same", []),
        ("", "", []),
        ("thanks for watching", "", ["silence_hallucination"]),
        ("", "hello there", ["empty"]),
        ("...", "hello there", ["empty"]),
        ("de de de de de de", "we raised the price of gas", ["loop", "substitution"]),
        ("so it is so it is so it is so it is fine", "so it is fine", ["loop", "insertion"]),
        ("change the lights", "change the lights to a different hue", ["truncation", "deletion"]),
        ("we met <unk> <unk> <unk> <unk>", "we met ann of the board", ["unknown_token", "substitution"]),
        ("play < unk > now", "play jazz now", ["unknown_token", "substitution"]),
        ("call @@UNKNOWN@@", "call bob", ["unknown_token", "substitution"]),
        ("while I kiss this guy", "while I kiss the sky", ["substitution"]),
        ("turn light", "turn the light on", ["deletion"]),
        ("oh turn it on now", "turn it on", ["insertion"]),
        ("the ice cream", "the icecream", ["word_boundary"]),
        ("any one had icecream with his fan", "anyone had ice cream with his man", ["substitution", "word_boundary"]),
        ("GOOD MORNING", "Good morning.", ["casing_punctuation"]),
        ("we sold twenty five", "We sold 25.", ["number_format"]),
        ("he sold twenty five", "We sold 25.", ["substitution", "number_format"]),
        ("we sold 26", "we sold 25", ["substitution"]),
        ("it is 20", "it is $20", ["deletion"]),
    ],
)
def test_each_type(original, corrected, expected):
    assert error_types(original, corrected) == expected


@pytest.mark.parametrize(
    ("original", "corrected", "absent"),
    [
        ("no no no no no", "no no no no", "loop"),
        ("we've we've we've we've we've it", "we- we- we- we've it", "loop"),
        ("call eight zero zero zero zero", "call 8 0000 now", "loop"),
        ("thank you very", "thank you very much", "truncation"),
        ("those two are lower than before", "those two um you know they are lower than the year before", "truncation"),
        ("we met <unk>", "we meet <unk>", "unknown_token"),
    ],
)
def test_what_is_no_such_type(original, corrected, absent):
    assert absent not in error_types(original, corrected)


def test_silence_is_what_is_speech_says():
    assert error_types("hm", "[music]", is_speech=False) == ["silence_hallucination"]
    assert error_types("", "[music]", is_speech=False) == ["casing_punctuation"]


@pytest.mark.parametrize(
    ("original", "corrected", "language"),
    [
        ("six thirty", "6:30", "en"),
        ("six oh five", "6:05", "en"),
        ("seven o'clock", "7:00", "en"),
        ("twenty dollars", "$20", "en"),
        ("one point four billion euros", "€1.4 billion", "en"),
        ("TWENTY MILLION DOLLARS", "$20M", "en"),
        ("five dollars and twenty cents", "$5.20", None),
        ("twenty three cents", "$0.23", None),
        ("20 dollars", "$20", None),
        ("third", "3rd", "en-GB"),
        ("nineteen ninety nine", "1999", "en"),
        ("two thousand and five", "2005", "en"),
        ("the nineties", "the 90's", "en"),
        ("ten percent", "10%", "en"),
        ("TEN PER CENT", "10 %", "en"),
        ("point five", "0.5", "en"),
        ("a hundred and fifty two", "152", "en"),
        ("1000", "1,000", "en"),
        ("q three", "Q3", "en"),
        ("five five five one two three four", "555-1234", "en"),
        ("fünfundzwanzig Prozent", "25 %", "de"),
        ("drei Komma fünf", "3,5", "de"),
        ("vingt-cinq", "25", "fr-FR"),
        ("двадцать пять", "25", "ru"),
        ("二十五", "25", "zh-CN"),
        ("二十五", "２５", "ja"),
    ],
)
def test_numbers_read_out(original, corrected, language):
    assert error_types(original, corrected, language=language) == ["number_format"]
    assert error_types(corrected, original, language=language) == ["number_format"]


def test_numbers_of_an_unknown_language_stay_as_they_are():
    assert readings("२५", "hi") == ()
    assert error_types("पच्चीस", "२५", language="hi") == ["substitution"]


def test_numbers_too_long_to_say_are_read_digit_by_digit():
    assert all("million" not in way for way in readings("1234567890", "en"))
    assert readings("1234567890", "am") is not None  # num2words never returns from this one


@settings(deadline=None)  # the first number imports num2words
@given(TEXT, TEXT, LANGUAGE, st.sampled_from([None, True, False]))
def test_any_pair_has_types_if_and_only_if_it_differs(original, corrected, language, is_speech):
    found = error_types(original, corrected, language=language, is_speech=is_speech)
    assert bool(found) == (original != corrected)
    assert found == [kind for kind in ERROR_TYPES if kind in found]


@settings(deadline=None)
@given(TEXT, LANGUAGE)
def test_reading_out_a_text_beside_itself_leaves_it_itself(text, language):
    said, heard = read_out(tokens(text, language), tokens(text, language), language)
    assert said == heard


def test_measure_by_columns():
    found = measure(
        ["Call Ann", "call 25", "hm", "x"],
        ["call Ann.", "call twenty five", "", None],
        ["en"] * 4,
        [None] * 4,
        "basic-1",
    )
    assert found["detected_error_types"] == [["casing_punctuation"], ["number_format"], ["silence_hallucination"], []]
    assert found["wer"] == [0.0, 2 / 3, None, None]
    assert found["raw_wer"] == [1.0, 2 / 3, None, None]
    assert found["reference_words"] == [2, 3, 0, None]
    assert list(found) == ["detected_error_types", *COUNTS, *(f"raw_{name}" for name in COUNTS)]


def test_measure_under_another_normaliser_finds_the_same_types():
    row = (["Call the an"], ["call ann."], ["en"], [None])
    folded, raw = measure(*row, "basic-1"), measure(*row, "none-1")
    assert folded["detected_error_types"] == raw["detected_error_types"]
    assert raw["wer"] == raw["raw_wer"] == folded["raw_wer"] != folded["wer"]


def test_measure_of_nothing_has_all_columns():
    assert set(map(len, measure([], [], [], [], "basic-1").values())) == {0}


def test_measure_names_an_unknown_normaliser():
    with pytest.raises(ParamsError, match=r"whisper.*basic-1"):
        measure([], [], [], [], "whisper")
