"""Stage `report`: what the tables say, as a page, as JSON, and as the tables behind `dvc plots`."""

from pathlib import Path

from mondegreen import params, reporting, tables, worst
from mondegreen.page import render
from mondegreen.stage import run


def main() -> None:
    """Read the tables and metrics, write the report."""
    settings = params.load(params.Report)
    report = reporting.gather(Path())
    clips = worst.clips(
        report["worst_cases"],
        Path("data/raw"),
        most=settings.audio_clips,
        most_bytes=1000 * settings.audio_kb,
    )
    tables.write_json(report, "data/report/report.json")
    Path("data/report/report.html").write_text(render(report, clips), encoding="utf-8")
    Path("data/plots").mkdir(exist_ok=True)
    for name, rows in reporting.plots(report).items():
        rows.to_csv(f"data/plots/{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    run(main)
