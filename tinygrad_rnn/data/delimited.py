"""Rows of CSV, TSV and JSON Lines files, with their locations for error messages."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from reprlib import repr as shorten
from typing import NamedTuple

from ..errors import InputError, parse_json
from .files import PathLike, display_name
from .text import read_text


class Row(NamedTuple):
    """The cells of the selected columns in one row of a file."""

    location: str
    """Name of the file and number of the line: "FILE, line N"."""
    columns: tuple[str, ...]
    cells: tuple[str, ...]


def read_table(path: PathLike, columns: Sequence[str] | None, encoding: str) -> list[Row]:
    """Return the rows of a .csv, .tsv or .jsonl file, which may be compressed (.csv.gz).

    The path `-` is CSV on standard input. Empty lines are skipped.

    Parameters
    ----------
    path
        The file.
    columns
        Names of the columns to return; None returns all columns of the first row.
    encoding
        The text encoding.

    Raises
    ------
    InputError
        If a row is invalid, a column is missing, or the file has no rows. The message contains the
        line.
    """
    name = os.fspath(path)
    readers = {".csv": _csv_rows, ".tsv": _tsv_rows, ".jsonl": _json_rows}
    suffix = ".csv" if name == "-" else Path(name.lower().removesuffix(".gz")).suffix
    reader = readers.get(suffix)
    if reader is None:
        raise InputError(
            f"{name}: expected a table, whose file name ends in {', '.join(readers)}, optionally "
            "followed by .gz"
        )
    text, name = read_text(path, encoding), display_name(name)
    if not text.strip():
        raise InputError(f"{name}: the file is empty")
    rows = list(reader(name, text, columns))
    if not rows:
        raise InputError(f"{name}: expected rows after the header, found none")
    return rows


def _csv_rows(name: str, text: str, columns: Sequence[str] | None) -> Iterator[Row]:
    hint = "a cell that contains ',' needs quotes"
    return _rows(name, _csv_lines(name, text), columns, ",", hint)


def _csv_lines(name: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line number and the cells of each row; quoted cells may span lines."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    # The default limit is 131,072 characters; the text is in memory already.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    try:
        for cells in lines:
            yield line, cells
            line = lines.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{name}, line {line}: {error}; a cell that begins with a quotation mark must end "
            "with one, and quotation marks inside it must be doubled"
        ) from error


def _tsv_rows(name: str, text: str, columns: Sequence[str] | None) -> Iterator[Row]:
    """Yield the rows of a TSV text, one per line.

    TSV has no quoting: quotation marks are ordinary characters
    (https://www.iana.org/assignments/media-types/text/tab-separated-values).
    """
    lines = ((number, line.split("\t")) for number, line in enumerate(text.split("\n"), 1))
    hint = "TSV has no quoting, so a cell cannot contain tabs or line breaks; use CSV for those"
    return _rows(name, lines, columns, "\t", hint)


def _rows(
    name: str,
    lines: Iterable[tuple[int, list[str]]],
    columns: Sequence[str] | None,
    delimiter: str,
    hint: str,
) -> Iterator[Row]:
    """Yield the rows below the header, which is the first line that is not empty.

    `hint` explains a wrong number of cells.
    """
    header: list[str] = []
    for number, cells in lines:
        location = f"{name}, line {number}"
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = [cell.strip() for cell in cells]
            selected = tuple(header if columns is None else columns)
            _check_header(location, header, selected, delimiter)
            indices = [header.index(column) for column in selected]
            continue
        if len(cells) != len(header):
            raise InputError(
                f"{location}: expected {len(header)} cells ({format_names(header)}), found "
                f"{len(cells)}{delimiter_hint(header) or f'; {hint}'}"
            )
        yield Row(location, selected, tuple(cells[i].strip() for i in indices))


def _check_header(
    location: str, header: list[str], selected: Sequence[str], delimiter: str
) -> None:
    missing = [column for column in selected if column not in header]
    if missing:
        hint = delimiter_hint(header) or " (the first line must contain the names of the columns)"
        if delimiter == "\t" and any(cell.startswith('"') for cell in header):
            hint = "; TSV has no quoting: save the table without quotes, or as CSV"
        raise InputError(
            f"{location}: expected a column {missing[0]!r}, found {format_names(header)}{hint}"
        )
    if len(set(header)) < len(header):
        raise InputError(f"{location}: two columns have the same name: {format_names(header)}")


def delimiter_hint(header: Sequence[str]) -> str:
    """Return a hint if a header of one column seems to use another delimiter."""
    delimiter = next((d for d in ";\t,|" if len(header) == 1 and d in header[0]), "")
    return delimiter and (
        f"; the columns seem to be separated by {delimiter!r}; CSV requires ',' and TSV '\\t'"
    )


def _json_rows(name: str, text: str, columns: Sequence[str] | None) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        location = f"{name}, line {number}"
        try:
            record = parse_json(line, location)
        except InputError as error:
            raise InputError(f"{error}; expected one JSON object per line") from error
        if not isinstance(record, dict) or not record:
            raise InputError(
                f"{location}: expected an object with named fields, got {shorten(record)}"
            )
        columns = tuple(record) if columns is None else columns
        for column in columns:
            if not isinstance(record.get(column), (str, int, float)):
                problem = f"is {shorten(record[column])}" if column in record else "is missing"
                raise InputError(
                    f"{location}: the field {column!r} {problem}; expected a text or number"
                )
        yield Row(location, tuple(columns), tuple(str(record[column]) for column in columns))


def format_names(names: Sequence[str]) -> str:
    """Return up to 20 shortened names for a message."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(map(shorten, names[:20])) + more
