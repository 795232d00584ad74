"""Intervals and tests against hand-computed figures, and against the truth of simulated data."""

import math
from dataclasses import astuple

import numpy as np
import pytest

from mondegreen.bootstrap import FEWEST_BLOCKS, choose_blocks, corpus_rate, matched_pairs, paired, power


def speech(seed: int, speakers: int, cases: int, rate: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return errors, words and speakers: each speaker has an error rate of their own, `rate` on average."""
    generator = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(speakers), cases)
    rates = generator.beta(20 * rate, 20 * (1 - rate), speakers)[speaker]
    words = generator.poisson(6, len(speaker)) + 1
    return generator.binomial(words, rates), words, speaker


def width(estimate) -> float:
    return estimate.high - estimate.low


def test_the_value_is_a_ratio_of_sums_without_the_silent_cases():
    found = corpus_rate([1, 0, 3], [4, 6, 0], [0, 1, 2], seed=1)
    assert astuple(found) == (0.1, None, None, 2, 2)


@pytest.mark.parametrize("blocks", [0, 1, FEWEST_BLOCKS - 1])
def test_too_few_blocks_have_no_interval(blocks):
    errors, words = [1] * blocks * 5, [3] * blocks * 5
    found = corpus_rate(errors, words, np.repeat(np.arange(blocks), 5), seed=1)
    assert (found.low, found.high, found.blocks) == (None, None, blocks)
    assert found.value == (1 / 3 if blocks else None)
    both = paired(errors, words, words, np.repeat(np.arange(blocks), 5), seed=1)
    assert (both.low, both.probability_of_improvement, both.decided) == (None, None, False)


def test_blocks_that_are_all_alike_leave_no_doubt():
    found = corpus_rate([1] * 40, [4] * 40, np.repeat(np.arange(10), 4), seed=1)
    assert (found.low, found.value, found.high) == (0.25, 0.25, 0.25)


def test_the_interval_of_a_share_is_that_of_the_binomial():
    found = corpus_rate([1] * 100 + [0] * 300, [1] * 400, np.arange(400), seed=1, resamples=20_000)
    half = 1.96 * math.sqrt(0.25 * 0.75 / 400)
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.004)


@pytest.mark.parametrize("speakers", [8, 30])
def test_the_interval_holds_the_truth_about_95_times_in_100(speakers):
    hits = alone = 0
    for seed in range(300):
        errors, words, speaker = speech(seed, speakers, 10)
        found = corpus_rate(errors, words, speaker, seed=seed)
        case_by_case = corpus_rate(errors, words, np.arange(len(words)), seed=seed, resamples=200)
        hits += found.low <= 0.2 <= found.high
        alone += case_by_case.low <= 0.2 <= case_by_case.high
    assert 0.90 <= hits / 300 <= 0.98
    assert alone / 300 < 0.85  # what it costs to take the cases of a speaker as independent


def test_two_equally_good_models_are_told_apart_about_5_times_in_100():
    decided = 0
    for seed in range(300):
        errors, words, speaker = speech(seed, 12, 8)
        decided += paired(errors, speech(seed + 10_000, 12, 8)[0], words, speaker, seed=1).decided
    assert decided / 300 < 0.09


def test_blocks_of_clustered_data_give_wider_intervals_than_cases():
    errors, words, speaker = speech(3, 20, 50)
    assert width(corpus_rate(errors, words, speaker, seed=1)) > 2 * width(
        corpus_rate(errors, words, np.arange(len(words)), seed=1)
    )


def test_pairing_makes_intervals_narrower():
    errors, words, speaker = speech(3, 20, 50)
    better = np.maximum(errors - (np.arange(len(errors)) % 5 == 0), 0)
    both = paired(errors, better, words, speaker, seed=1)
    assert width(both) < width(corpus_rate(errors, words, speaker, seed=1)) / 3
    assert both.decided
    assert both.difference == pytest.approx((better.sum() - errors.sum()) / words.sum())
    assert both.probability_of_improvement == 1.0


def test_the_other_way_round_is_the_negative():
    errors, words, speaker = speech(3, 20, 5)
    other = speech(4, 20, 5)[0]
    one, back = (paired(*pair, words, speaker, seed=1) for pair in ((errors, other), (other, errors)))
    assert (one.difference, one.low, one.high) == pytest.approx((-back.difference, -back.high, -back.low))
    assert one.probability_of_improvement == pytest.approx(1 - back.probability_of_improvement)


def test_a_model_against_itself():
    errors, words, speaker = speech(3, 20, 5)
    both = paired(errors, errors, words, speaker, seed=1)
    assert astuple(both) == (0, 0, 0, 0.5, 20, 0, 100)
    assert not both.decided
    assert power(errors, errors, words, speaker) is None


def test_a_few_cases_that_differ_decide_nothing_however_they_agree():
    before = np.zeros(200)
    for fixed in (FEWEST_BLOCKS - 1, FEWEST_BLOCKS):
        before[:fixed] = 1
        both = paired(before, np.zeros(200), np.full(200, 5), np.arange(200), seed=1)
        assert both.high < 0
        assert both.decided == (fixed == FEWEST_BLOCKS)


def test_same_seed_same_figures_in_any_order_of_cases():
    errors, words, speaker = speech(3, 20, 5)
    order = np.random.default_rng(0).permutation(len(words))
    found = corpus_rate(errors, words, speaker, seed=1)
    assert found == corpus_rate(errors[order], words[order], speaker[order], seed=1)
    assert found != corpus_rate(errors, words, speaker, seed=2)


def test_matched_pairs_by_hand():
    # differences 1, 0, 2, 1, 1: mean 1, variance (0 + 1 + 1 + 0 + 0) / 4 = 1/2, Z = 1 / (sqrt(1/2) / sqrt(5))
    found = matched_pairs([0, 1, 0, 2, 1], [1, 1, 2, 3, 2], list("abcde"))
    assert (found.segments, found.mean) == (5, 1.0)
    assert found.deviation == pytest.approx(math.sqrt(0.5))
    assert found.z == pytest.approx(math.sqrt(10))
    assert found.p_value == pytest.approx(0.0015654, abs=1e-7)


def test_matched_pairs_at_the_customary_limit():
    differences = np.array([1.0, -1.0] * 50)
    differences += 1.96 * differences.std(ddof=1) / math.sqrt(100)
    assert matched_pairs(np.zeros(100), differences, np.arange(100)).p_value == pytest.approx(0.05, abs=1e-4)


def test_matched_pairs_sums_what_lies_in_one_segment():
    assert matched_pairs([1, 0, 3], [0, 2, 1], [7, 7, 8]) == matched_pairs([0, 2], [1, 0], ["a", "b"])


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([], [], (0, None, None, None, None)),
        ([1], [3], (1, 2.0, None, None, None)),
        ([1, 2, 3], [1, 2, 3], (3, 0.0, 0.0, 0.0, 1.0)),
        ([1, 2, 3], [2, 3, 4], (3, 1.0, 0.0, None, None)),
    ],
)
def test_matched_pairs_where_there_is_nothing_to_test(a, b, expected):
    assert astuple(matched_pairs(a, b, range(len(a)))) == expected


def test_power_by_hand():
    # per block d = 2, 0, 2, 0, …: mean 1, words alike, so sd = sqrt(n / (n - 1)); (1.959964 + 0.841621)^2 = 7.8489
    d = np.tile([2, 0], 10)
    found = power(np.zeros(40), np.repeat(d, 2) / 2, np.full(40, 5), np.repeat(np.arange(20), 2))
    assert astuple(found) == (12, 24, 0, 0)
    tenth = power(np.zeros(20), np.tile([11, -9], 10), np.full(20, 5), np.arange(20))
    assert tenth.blocks == math.ceil(7.8488797 * 100 * 20 / 19) == 827
    assert (tenth.more_blocks, tenth.more_cases) == (807, 807)


def test_power_keeps_its_promise():
    errors, words, speaker = speech(5, 400, 5)
    better = np.maximum(errors - (np.random.default_rng(1).random(len(errors)) < 0.05), 0)
    worse = np.where(np.random.default_rng(2).random(len(errors)) < 0.02, better + 1, better)
    needed = power(errors, worse, words, speaker).blocks
    assert 10 < needed < 1000
    generator, told = np.random.default_rng(0), 0
    for _ in range(200):
        rows = (generator.integers(400, size=needed)[:, None] * 5 + np.arange(5)).ravel()
        blocks = np.repeat(np.arange(needed), 5)
        told += paired(errors[rows], worse[rows], words[rows], blocks, seed=1, resamples=400).decided
    assert 0.7 <= told / 200 <= 0.9


def test_power_asks_for_enough_cases_that_differ():
    before = np.zeros(100)
    before[:2] = 1
    assert power(before, np.zeros(100), np.full(100, 5), np.arange(100)).blocks >= 300


def test_blocks_are_the_coarsest_of_which_there_are_enough():
    cases = [f"c{n}" for n in range(24)]
    speakers = [f"s{n % 8}" for n in range(24)]
    recordings = [f"r{n % 12}" for n in range(24)]
    keys = {"speaker": speakers, "recording": recordings, "case": cases}
    words = np.ones(24)
    chosen = choose_blocks(keys, words)
    assert (chosen.kind, chosen.count) == ("speaker", 8)
    assert chosen.labels.tolist() == [n % 8 for n in range(24)]
    assert choose_blocks(keys | {"speaker": ["s"] * 24}, words).kind == "recording"
    assert choose_blocks(keys | {"speaker": ["s"] * 24, "recording": [None] * 24}, words).kind == "case"
    # only blocks in which something is said count
    assert choose_blocks(keys, np.arange(24) % 8 < 5).kind == "recording"


def test_a_case_without_a_speaker_is_in_the_block_of_its_recording():
    keys = {"speaker": [*"abcdef", None, None, None], "recording": [*"abcdef", "a", "a", None], "case": [*"ABCDEFGHI"]}
    chosen = choose_blocks(keys, np.ones(9))
    assert (chosen.kind, chosen.count) == ("speaker", 8)
    assert len({*chosen.labels[:6]}) == 6
    assert chosen.labels[6] == chosen.labels[7] != chosen.labels[8]
    assert chosen.labels[6] not in chosen.labels[:6]  # speaker "a" is not recording "a"


def test_ten_thousand_cases():
    errors, words, _ = speech(1, 100, 100)
    found = corpus_rate(errors, words, np.arange(10_000), seed=1, resamples=1000)
    assert found.blocks == found.cases == 10_000
    assert found.low < found.value < found.high
