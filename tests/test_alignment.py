"""Alignments against hand-computed examples and against jiwer."""

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mondegreen.alignment import Alignment, align, corpus, edit_counts, edits

WORDS = st.lists(st.sampled_from(["the", "a", "sky", "guy", "kiss", "sk", "é", "naïve"]), max_size=12)


def test_by_hand():
    #   excuse me while i kiss the sky      S: sky -> guy, D: excuse, I: oh
    found = align("excuse me while i kiss the sky", "me while i oh kiss the guy")
    assert found == Alignment(7, 5, 1, 1, 1, 30, 7 + 3 + 2)
    assert found.word_errors == 3
    assert found.wer == 3 / 7
    assert found.cer == 12 / 30


def test_more_insertions_than_words_take_wer_above_one():
    assert align("a", "a b c").wer == 2.0


def test_an_empty_reference_has_no_rate():
    found = align("", "thank you")
    assert (found.insertions, found.wer, found.cer) == (2, None, None)
    assert align("", "") == Alignment(0, 0, 0, 0, 0, 0, 0)


def test_scripts_without_spaces_count_no_made_up_spaces():
    found = align("我 喜 欢 你", "我 喜 你")
    assert (found.wer, found.cer, found.reference_characters) == (1 / 4, 1 / 4, 4)


@given(WORDS.filter(bool), WORDS)
def test_counts_are_those_of_jiwer(reference, hypothesis):
    found = align(" ".join(reference), " ".join(hypothesis))
    by_word = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    by_character = jiwer.process_characters(" ".join(reference), " ".join(hypothesis))
    assert found[1:5] == (by_word.hits, by_word.substitutions, by_word.deletions, by_word.insertions)
    assert found.wer == by_word.wer
    assert found.cer == by_character.cer


@given(st.lists(st.tuples(WORDS.filter(bool), WORDS), min_size=1, max_size=6))
def test_corpus_rates_are_those_of_jiwer(pairs):
    references = [" ".join(reference) for reference, _ in pairs]
    hypotheses = [" ".join(hypothesis) for _, hypothesis in pairs]
    found = corpus(map(align, references, hypotheses))
    assert found.wer == jiwer.wer(references, hypotheses)
    assert found.cer == jiwer.cer(references, hypotheses)


@given(WORDS, WORDS)
def test_edits_give_back_both_sides_and_the_counts(reference, hypothesis):
    runs = edits(reference, hypothesis)
    assert [word for run in runs for word in run.reference] == reference
    assert [word for run in runs for word in run.hypothesis] == hypothesis
    assert all(run.reference == run.hypothesis for run in runs if run.kind == "equal")
    assert edit_counts(reference, hypothesis) == (
        sum(len(run.reference) for run in runs if run.kind == "substitute"),
        sum(len(run.reference) for run in runs if run.kind == "delete"),
        sum(len(run.hypothesis) for run in runs if run.kind == "insert"),
    )


def test_corpus_is_no_mean_of_utterances_and_counts_silence_apart():
    found = corpus([align("a b c d", "a b c d"), align("a", "b"), align("", "thanks for watching"), align("", "")])
    assert found.wer == 1 / 5
    assert (found.utterances, found.silent_utterances) == (2, 2)
    assert found.silence_hallucination_rate == 0.5


def test_corpus_of_nothing_has_no_rates():
    found = corpus([])
    assert (found.wer, found.cer, found.silence_hallucination_rate) == (None, None, None)


def test_a_rate_is_read_only():
    with pytest.raises(AttributeError):
        align("a", "b").wer = 0.0
