"""The table: its rows, how one is printed, and the machine that it speaks of."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Row:
    """A line of the table: ours against the floor, in `unit`; `met` is None without a target."""

    what: str
    ours: float
    floor: float | None
    unit: str
    target: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over the floor."""
        return self.ours / self.floor if self.floor else None


def at_most(what: str, ours: float, unit: str, limit: float) -> Row:
    """Return a row with an absolute target."""
    return Row(what, ours, None, unit, f"<= {limit:g} {unit}", ours <= limit)


def at_least(what: str, ours: float, unit: str, limit: float | None) -> Row:
    """Return a row that has to reach a figure, if there is a `limit`."""
    return Row(what, ours, None, unit, f">= {limit:g} {unit}" if limit else "", ours >= limit if limit else None)


def within(what: str, ours: float, floor: float, unit: str, limit: float | None = None) -> Row:
    """Return a row whose target, if it has one, is a multiple of the floor."""
    return Row(what, ours, floor, unit, f"<= {limit:g}x" if limit else "", ours <= limit * floor if limit else None)


def machine(folder: Path) -> str:
    """Return what the figures were measured on."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")]
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)]
    mount = max(mounts, key=lambda part: len(part.mountpoint))
    return (
        f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB memory, {mount.fstype} ({mount.device}), "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}; "
        f"load average before: {os.getloadavg()[0]:.1f}"
    )


def line(row: Row) -> str:
    """Return a row as a line of the table."""
    floor = "" if row.floor is None else f"{row.floor:,.2f}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    met = {True: "yes", False: "NO", None: ""}[row.met]
    return f"{row.what:<78}{row.ours:>10,.2f}{floor:>10} {row.unit:<4}{ratio:>7}  {row.target:<10}{met}".rstrip()


def heading() -> str:
    """Return the names of the columns."""
    return f"{'what':<78}{'ours':>10}{'floor':>10} {'unit':<4}{'ratio':>7}  {'target':<10}met"
