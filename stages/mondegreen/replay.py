"""Replay: speech that the recogniser gets right, mixed into train, and kept apart to measure what training forgets.

A model that is trained on new speech alone gets worse at what it could do; a small part of the old, mixed in, prevents
much of that (Vander Eeckt and Van hamme, Continual Learning for Monolingual End-to-End Automatic Speech Recognition,
arXiv:2112.09427; Chang et al., Towards Lifelong Learning of End-to-end ASR, arXiv:2104.01616).

Draws are seeded hashes, utterance by utterance. What shares a speaker, a recording, a sound or a long text with the
evaluation splits is never used, nor does `retention` share any with train.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mondegreen import params
from mondegreen.balancing import draws
from mondegreen.components import connect, link_keys
from mondegreen.ledger import RESERVE
from mondegreen.schemas import REPLAY, RETENTION, SPLITS
from mondegreen.tables import among

_FEWEST = 10  # components, speakers mostly, in retention, if there are as many

REASON = "linked_to_retention"
"""Why a case is left out that shares a speaker, … with an utterance that a release froze into `retention`."""


@dataclass(frozen=True)
class Replayed:
    """The utterances of the dataset, as rows of splits.parquet, and what there is to say about them."""

    rows: pd.DataFrame
    report: dict[str, Any]


def linked(cases: pd.DataFrame, pool: pd.DataFrame, ledger: pd.DataFrame, *, min_shared_words: int) -> pd.Series:
    """Return which of `cases`, none of them frozen, must not train: a frozen utterance of `retention` is linked."""
    kept = pool[pool["case_id"].isin(ledger.loc[ledger["split"] == RETENTION, "case_id"])]
    if kept.empty:
        return pd.Series(False, index=cases.index)
    component = _components(cases, kept, min_shared_words)
    met = component[: len(cases)].isin(set(component[len(cases) :])).set_axis(cases.index)
    return met & ~among(cases["case_id"], ledger["case_id"])


def choose(
    pool: pd.DataFrame,
    rows: pd.DataFrame,
    ledger: pd.DataFrame,
    settings: params.Replay,
    *,
    known: pd.DataFrame,
    min_shared_words: int,
) -> Replayed:
    """Choose utterances of `pool` for train and `retention` beside the cases of `rows` (see `splitting.split`).

    `known` are all cases and utterances that the ledger has in train, validation or test: also where they are in no
    split any more, what is connected with them is theirs. Sizes count cases of train, before any copies.
    """
    sides = ledger.set_index("case_id")["split"].str.removesuffix(RESERVE)
    held = known[~among(known["case_id"], rows["case_id"])]
    others = pd.concat([rows, held.assign(split=held["case_id"].map(sides))], ignore_index=True) if len(held) else rows
    frozen = pool["case_id"].map(sides) == RETENTION
    named = frozen | (True if settings.sources is None else pool["source"].isin(settings.sources))
    pool, frozen = pool[named].reset_index(drop=True), frozen[named].reset_index(drop=True)
    others = others if len(pool) else others[:0]  # nothing is there to be linked to them
    component = _components(pool, others, min_shared_words)
    own, theirs = component[: len(pool)].reset_index(drop=True), component[len(pool) :].to_numpy()
    evaluated = others["split"].to_numpy() != "train"
    touching = own.isin(set(theirs[evaluated]))
    repeated = pool["pcm_sha256"].isin(rows["pcm_sha256"].dropna())
    usable = ~touching & ~repeated
    apart = usable & ~own.isin(set(theirs[~evaluated]))
    retained = _retained(pool, own, apart, frozen, settings)
    free = usable & ~own.isin(own[retained]) & ~frozen
    wanted = round(settings.ratio * int((rows["split"] == "train").sum()))
    trained = _first(pool, free, wanted, "replay", settings.seed)
    chosen = pool.assign(split=np.where(retained, RETENTION, "train"), component=own)[retained | trained]
    return Replayed(
        _as_rows(chosen),
        {
            "utterances": len(pool),
            "train": _counted(wanted, int(trained.sum())),
            "retention": _counted(max(settings.retention, int(frozen.sum())), int(retained.sum())),
            "left_out": {
                "linked_to_validation_or_test": int(touching.sum()),
                "repeats_the_sound_of_a_case": int((repeated & ~touching).sum()),
                "linked_to_retention": int((usable & ~free & ~retained).sum()),
                "not_drawn": int((free & ~trained).sum()),
            },
            "sources": {str(name): int(count) for name, count in chosen["source"].value_counts().items()},
        },
    )


def notes(report: Mapping[str, Any], settings: params.Replay, pool: pd.DataFrame) -> list[str]:
    """Return a line for each split that got fewer utterances than it should, and for each unknown source."""
    short = {name: report[name] for name in ("train", RETENTION) if report[name]["short_of"] > 0}
    there = ", ".join(sorted(set(pool["source"]))) or "none"
    unknown = sorted(set(settings.sources or ()) - set(pool["source"]))
    return [
        f"replay: {name} has {found['chosen']} of {found['wanted']} utterances (why: metrics/split.json). Confirm more "
        "inferences, or import some: 'mondegreen import --as replay'"
        for name, found in short.items()
    ] + [f"replay.sources names {source}, which no utterance has; there are: {there}" for source in unknown]


def _components(first: pd.DataFrame, second: pd.DataFrame, min_shared_words: int) -> pd.Series:
    """Return the component of every row of both tables, one after the other."""
    both = pd.concat([first, second], ignore_index=True)
    return connect(both["case_id"], link_keys(both, min_shared_words=min_shared_words))


def _retained(
    pool: pd.DataFrame, own: pd.Series, apart: pd.Series, frozen: pd.Series, settings: params.Replay
) -> pd.Series:
    """Return the utterances of `retention`: the frozen ones, and new ones up to its size.

    New ones come from components that are not connected with train, each giving a tenth at most while others have some:
    a figure that stands on two speakers says little.
    """
    wanted = max(0, settings.retention - int(frozen.sum()))
    drawn = pd.DataFrame({"component": own, "draw": _ranks(pool, "retention", settings.seed)})[apart & ~frozen]
    drawn = drawn.sort_values("draw")
    drawn["round"] = drawn.groupby("component").cumcount() // math.ceil(max(1, settings.retention) / _FEWEST)
    drawn["first"] = drawn.groupby("component")["draw"].transform("min")
    chosen = drawn.sort_values(["round", "first", "draw"]).index[:wanted]
    return (frozen & apart) | pd.Series(pool.index.isin(chosen), index=pool.index)


def _first(pool: pd.DataFrame, eligible: pd.Series, count: int, purpose: str, seed: int) -> pd.Series:
    """Return the first `count` of the eligible utterances, in the order of their draws."""
    drawn = _ranks(pool, purpose, seed)[eligible].sort_values()
    return pd.Series(pool.index.isin(drawn.index[:count]), index=pool.index)


def _ranks(pool: pd.DataFrame, purpose: str, seed: int) -> pd.Series:
    """Return each utterance's place in the draw."""
    drawn = pd.DataFrame({"draw": draws(pool["case_id"], purpose=purpose, seed=seed), "case_id": pool["case_id"]})
    order = drawn.sort_values(["draw", "case_id"]).index
    return pd.Series(np.arange(len(pool)), index=order).reindex(pool.index)


def _counted(wanted: int, chosen: int) -> dict[str, int]:
    return {"wanted": wanted, "chosen": chosen, "short_of": wanted - chosen}


def _as_rows(chosen: pd.DataFrame) -> pd.DataFrame:
    rows = chosen.assign(primary_error_type="none", origin=REPLAY, parent_case_id=None, augmentation=None)
    return rows.sort_values(["split", "case_id"], ignore_index=True).reindex(columns=SPLITS.arrow.names)
