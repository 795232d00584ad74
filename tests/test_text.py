"""The normalisers: what they fold, what survives, and that doing it twice changes nothing."""

from unicodedata import normalize

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mondegreen.text import NORMALISERS, characters, normalise, words

SCRIPTS = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("abcÀßİıŒﬁǰ'’´`ʼ -_.,:%$&+°<>@½²①\u0301\u0345\u0338\u200d\u00ad\ufe0f\u20e3"),
        st.characters(min_codepoint=0x0900, max_codepoint=0x0EFF),
        st.characters(min_codepoint=0x1000, max_codepoint=0x17FF),
        st.characters(min_codepoint=0x1F00, max_codepoint=0x1FFF),
        st.characters(min_codepoint=0x3000, max_codepoint=0x30FF),
        st.characters(min_codepoint=0xFB00, max_codepoint=0xFFEF),
    )
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  Excuse me,\twhile I kiss\nthe SKY!  ", "excuse me while i kiss the sky"),
        ("Don’t — 'cause the dogs' O'Neil's", "don't cause the dogs o'neil's"),
        ("don´t don`t donʼt don''t", "don't don't don't don t"),
        ("e-mail snake_case a/b www.x.org", "e mail snake case a b www x org"),
        ("$20.50, 10% & 5°", "$ 20 50 10 % & 5 °"),
        ("<unk> [noise]", "unk noise"),
        ("Ｆｕß ﬁne", "fuss fine"),
        ("Élan vital, naïve cafe\u0301", "élan vital naïve café"),
        ("नमस्ते, दुनिया! कैसे हैं आप?", "नमस्ते दुनिया कैसे हैं आप"),
        ("Привет, мир! Ёлка.", "привет мир ёлка"),
        ("مَرْحَبًا بِالعَالَم؟", "مَرْحَبًا بِالعَالَم"),
        ("안녕하세요, 세계!", "안녕하세요 세계"),
        ("我喜欢2024年的 iPhone。", "我 喜 欢 2024 年 的 iphone"),
        ("ガギ、ｶﾞ東京タワー", "ガ ギ ガ 東 京 タ ワ ー"),
        ("สวัสดี ๒๕", "ส วั ส ดี ๒๕"),
        ("ស្តី", "ស្តី"),
        ("zero\u200bwidth soft\u00adhyphen ❤\ufe0f", "zerowidth softhyphen"),
        ("…?!", ""),
        ("", ""),
    ],
)
def test_basic(raw, expected):
    assert normalise(raw) == expected


def test_turkish_i():
    assert normalise("IŞIK İzmir", "tr-TR") == "ışık izmir"
    assert normalise("ISTANBUL", "tru") == "istanbul"


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_ascii_is_folded_as_it_is_beside_other_letters(text: str):
    assert normalise(f"{text} é") == f"{normalise(text)} é".lstrip()


@given(SCRIPTS, st.sampled_from([None, "en", "tr", "az-AZ", "hi", "zh", "no such language"]))
@example("e\u200d\u0301", None)
@example("\u1fb3\u0301", None)
@example("'\u0301'a''b", None)
@example("Iİ\u0307", "tr")
@example("か\u200d\u3099", "ja")
def test_normalising_twice_changes_nothing(text, language):
    for normaliser in NORMALISERS.values():
        once = normaliser(text, language)
        assert normaliser(once, language) == once
        assert once == " ".join(words(once))


@given(
    st.text(
        st.one_of(
            st.characters(categories=["L", "Mn", "Mc", "Nd"], min_codepoint=0x0400, max_codepoint=0x097F),
            st.characters(categories=["L"], min_codepoint=0x4E00, max_codepoint=0xD7A3),
        )
    )
)
def test_no_letter_mark_or_digit_vanishes(text):
    folded = normalize("NFKC", normalize("NFKC", text).casefold())
    assert normalise(text).replace(" ", "") == folded


def test_none_leaves_all_but_white_space():
    assert NORMALISERS["none-1"]("  Don’t\u00a0STOP,\n<unk>! ", None) == "Don’t STOP, <unk>!"


def test_characters_skip_the_spaces_that_the_normaliser_made():
    assert characters("我 喜 欢 iphone and more") == "我喜欢 iphone and more"
    assert characters("ส วั ส ดี") == "สวัสดี"
    assert characters("ice cream") == "ice cream"
