"""Stage `gate`: nothing below it runs unless the candidates meet every threshold of params.yaml."""

import hashlib
from dataclasses import asdict
from pathlib import Path

from mondegreen import params, quality, tables
from mondegreen.errors import GateError
from mondegreen.stage import run


def main() -> None:
    """Read the quality report, write which report was judged and how; raise `GateError` when it did not pass."""
    thresholds = params.load(params.Gate)
    report = tables.read_json("data/metrics/quality.json")
    missed = quality.missed(report["quality_metrics"], thresholds)
    judgement = {
        "passed": not missed,
        "thresholds": asdict(thresholds),
        "misses_by": {name: least - share for name, (share, least) in missed.items()},
        "report_sha256": hashlib.sha256(Path("data/metrics/quality.json").read_bytes()).hexdigest(),
    }
    tables.write_json(judgement, "data/metrics/gate.json")
    verdict = quality.verdict(report, thresholds, "data/rejected.parquet")
    if missed:
        raise GateError(verdict)
    print(verdict)


if __name__ == "__main__":
    run(main)
