"""Files of rows, streamed: CSV, JSON Lines (both plain or gzipped) and Parquet. Standard library only but for Parquet.

A row is a dictionary by column name. What is no row is yielded as `Unreadable`, with its line number, and reading
goes on behind it.
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from mondegreen.errors import DataError

Row = dict[str, Any]

LINE_BYTES = 1024 * 1024
"""A line of JSON that is longer is no row: memory stays bounded, whatever the file is."""

_BATCH_ROWS = 1000


@dataclass(frozen=True)
class Unreadable:
    """A place in the file that is no row: why, and its text."""

    reason: str
    text: str


class Source:
    """A file of rows; `rows()` may be called any number of times, one after the other."""

    unit = "B"
    """What `total` and `position` count."""
    place = "line"
    """What a row's number counts, from 1."""
    embedded: tuple[str, ...] = ()
    """Columns that hold bytes: they are not read."""
    empty_is_missing = False
    """The format cannot tell an empty text from none."""

    def __init__(self, path: Path) -> None:
        """Raise `DataError` where `path` cannot be read."""
        self.path = path
        self.position = 0
        with self._reading():
            self.total = path.stat().st_size
            with path.open("rb") as file:
                self._head = file.read(4)
        if self._head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{path} is UTF-16: save it as UTF-8, then import it again")

    def rows(self) -> Iterator[tuple[int, Row | Unreadable]]:
        """Yield each row with its number, in the order of the file; raises `DataError` where the file breaks off."""
        with self._reading():
            yield from self._rows()

    def _rows(self) -> Iterator[tuple[int, Row | Unreadable]]:
        raise NotImplementedError

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            if isinstance(error, FileNotFoundError):
                raise DataError(f"{self.path} is not there: give the path of a file") from error
            raise DataError(
                f"{self.path} cannot be read to its end: {reason}; mend it, then import it again"
            ) from error

    @contextmanager
    def _bytes(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """Open the file: its bytes, decompressed, and the file itself, which tells how far it was read."""
        with self.path.open("rb") as file:
            if self._head.startswith(b"\x1f\x8b"):
                with gzip.open(file) as unpacked:
                    yield cast(BinaryIO, unpacked), file
            else:
                yield file, file


class JsonLines(Source):
    """One JSON object per line; blank lines are passed over."""

    def _rows(self) -> Iterator[tuple[int, Row | Unreadable]]:
        with self._bytes() as (lines, file):
            number = 0
            while line := lines.readline(LINE_BYTES):
                number += 1
                self.position = file.tell()
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                    while (rest := lines.readline(LINE_BYTES)) and not rest.endswith(b"\n"):
                        pass
                    yield number, Unreadable(f"the line is longer than {LINE_BYTES} bytes", _shown(line[:1000]))
                elif line.strip():
                    yield number, _object(line)


def _object(line: bytes) -> Row | Unreadable:
    try:
        row = parse(line.decode())
    except (ValueError, RecursionError) as error:
        return Unreadable(f"no JSON object on one line, in UTF-8: {error}", _shown(line))
    return row if isinstance(row, dict) else Unreadable("no JSON object on one line", _shown(line))


def parse(text: str) -> Any:
    """Return the JSON value in `text`, half a surrogate pair replaced; raises `ValueError` or `RecursionError`."""
    value = json.loads(text, parse_constant=_no_constant)
    if "\\ud" not in text.lower():
        return value
    whole = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(whole.decode("utf-16", "replace"))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r\n")


class Csv(Source):
    """Comma-, semicolon- or tab-separated values in UTF-8, with or without BOM; the first row names the columns.

    A row's number is that of its first line: a quoted cell may hold line breaks.
    """

    empty_is_missing = True

    def _rows(self) -> Iterator[tuple[int, Row | Unreadable]]:
        with self._bytes() as (raw, file):
            text = io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="")
            held: list[str] = []
            first = text.readline()
            reader = csv.reader(_holding(first, text, held), delimiter=_delimiter(first), strict=True)
            header: list[str] | None = None
            while True:
                held.clear()
                start = reader.line_num + 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    if header is None:
                        raise DataError(f"{self.path}: its first row does not name the columns: {error}") from error
                    lines = f"lines {start} to {reader.line_num}: " if reader.line_num > start else ""
                    yield start, Unreadable(f"{lines}no row of CSV: {error}", "".join(held)[:LINE_BYTES])
                    continue
                self.position = file.tell()
                if not cells:
                    continue
                if header is None:
                    header = self._header(cells)
                    continue
                yield start, _checked(header, cells) or Unreadable(_fault(header, cells), "".join(held))

    def _header(self, cells: list[str]) -> list[str]:
        names = [cell.strip() for cell in cells]
        if twice := sorted({name for name in names if name and names.count(name) > 1}):
            raise DataError(f"{self.path} has two columns named {twice[0]!r}: rename one of them")
        return names


def _holding(first: str, rest: Iterator[str], held: list[str]) -> Iterator[str]:
    """Yield every line, and keep in `held` those of the row that is being read."""
    if first:
        held.append(first)
        yield first
    for line in rest:
        held.append(line)
        yield line


def _delimiter(header: str) -> str:
    """Return the delimiter that makes the most columns of the header; a comma where none does."""
    return max((",", ";", "\t"), key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def _checked(header: list[str], cells: list[str]) -> Row | None:
    text = "".join(cells)
    if len(cells) != len(header) or "\0" in text or not (text.isascii() or _is_unicode(text)):
        return None
    return dict(zip(header, cells, strict=True))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(header: list[str], cells: list[str]) -> str:
    if len(cells) != len(header):
        return f"{len(cells)} cells, but the header has {len(header)}"
    return "a NUL byte" if any("\0" in cell for cell in cells) else "not UTF-8"


class Parquet(Source):
    """A Parquet file, streamed by row groups; columns of bytes are not read. A row's number counts rows."""

    unit = " rows"
    place = "row"

    def __init__(self, path: Path) -> None:
        """Raise `DataError` where `path` cannot be read, and `ModuleNotFoundError` without pyarrow."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(path)
        self._broken = pa.ArrowException
        with self._reading(), pq.ParquetFile(path) as file:
            self.total = file.metadata.num_rows
            fields = list(file.schema_arrow)
        self._columns = [field.name for field in fields if "binary" not in str(field.type)]
        self.embedded = tuple(field.name for field in fields if "binary" in str(field.type))

    def _rows(self) -> Iterator[tuple[int, Row | Unreadable]]:
        import pyarrow.parquet as pq

        number = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=self._columns):
                self.position = number
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
        self.position = number

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with super()._reading():
                yield
        except self._broken as error:
            raise DataError(f"{self.path} is no sound Parquet file: {error}; write it again") from error

    _broken: type[BaseException] = OSError


_KINDS: dict[str, type[Source]] = {
    ".csv": Csv,
    ".tsv": Csv,
    ".txt": Csv,
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": JsonLines,
    ".parquet": Parquet,
}


def open_source(path: Path) -> Source:
    """Return the file of rows at `path`, of the kind that its name says; raises `DataError` where it cannot be read."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in _KINDS:
        raise DataError(f"{path}: the name does not say what it is; expected {', '.join(_KINDS)}, text also with .gz")
    return _KINDS[suffix](path)
