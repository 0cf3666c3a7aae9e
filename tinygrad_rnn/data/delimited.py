"""Rows of CSV, TSV and JSON Lines files, each with the place that error messages name."""

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
    """The cells of some columns in one line of a file."""

    place: str
    """"FILE, line N"."""
    columns: tuple[str, ...]
    cells: tuple[str, ...]


def read_table(path: PathLike, columns: Sequence[str] | None, encoding: str) -> list[Row]:
    """Return the rows of a .csv, .tsv or .jsonl file, which may be compressed (.csv.gz). The path
    `-` is CSV on standard input.

    columns: names of the columns to return (None: all of the first row's). Empty lines do not
    count. InputError, which names the line, for a file that does not fit or has no rows.
    """
    name = os.fspath(path)
    readers = {".csv": _csv_rows, ".tsv": _tsv_rows, ".jsonl": _json_rows}
    suffix = ".csv" if name == "-" else Path(name.lower().removesuffix(".gz")).suffix
    reader = readers.get(suffix)
    if reader is None:
        raise InputError(
            f"{name}: the name of a table ends in {', '.join(readers)}, or .gz after it"
        )
    text, name = read_text(path, encoding), display_name(name)
    if not text.strip():
        raise InputError(f"{name}: the file is empty")
    rows = list(reader(name, text, columns))
    if not rows:
        raise InputError(f"{name}: there is a header but nothing below it")
    return rows


def _csv_rows(name: str, text: str, columns: Sequence[str] | None) -> Iterator[Row]:
    advice = "a cell that contains ',' needs quotes"
    return _rows(name, _csv_lines(name, text), columns, ",", advice)


def _csv_lines(name: str, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each row's first line, and its cells; quoted cells may span lines."""
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
            f"{name}, line {line}: {error}; a cell that begins with a quotation mark ends with "
            "one, and those within are doubled"
        ) from error


def _tsv_rows(name: str, text: str, columns: Sequence[str] | None) -> Iterator[Row]:
    """Yield the rows of a TSV text. It has no quoting: a quotation mark is a character like any
    other, and a line is a row (https://www.iana.org/assignments/media-types/text/tab-separated-values).
    """
    lines = ((number, line.split("\t")) for number, line in enumerate(text.split("\n"), 1))
    advice = "a .tsv has no quoting, so cells hold no tabs and no line breaks; a .csv may"
    return _rows(name, lines, columns, "\t", advice)


def _rows(
    name: str,
    lines: Iterable[tuple[int, list[str]]],
    columns: Sequence[str] | None,
    delimiter: str,
    advice: str,
) -> Iterator[Row]:
    """Yield rows from the cells of each line, the first of which is the header."""
    header: list[str] = []
    for number, cells in lines:
        place = f"{name}, line {number}"
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = [cell.strip() for cell in cells]
            wanted = tuple(header if columns is None else columns)
            _check_header(place, header, wanted, delimiter)
            places = [header.index(column) for column in wanted]
            continue
        if len(cells) != len(header):
            hint = delimiter_hint(header) or f"; {advice}"
            raise InputError(
                f"{place}: {len(cells)} cells, but there are {len(header)} columns "
                f"({format_names(header)}){hint}"
            )
        yield Row(place, wanted, tuple(cells[i].strip() for i in places))


def _check_header(place: str, header: list[str], wanted: Sequence[str], delimiter: str) -> None:
    missing = [column for column in wanted if column not in header]
    if missing:
        hint = delimiter_hint(header) or " (the first line names the columns)"
        if delimiter == "\t" and any(cell.startswith('"') for cell in header):
            hint = "; a .tsv has no quoting: save it without, or as a .csv"
        raise InputError(
            f"{place}: there is no column {missing[0]!r}, but {format_names(header)}{hint}"
        )
    if len(set(header)) < len(header):
        raise InputError(f"{place}: two columns have the same name: {format_names(header)}")


def delimiter_hint(header: Sequence[str]) -> str:
    """Return a hint if a header of one column looks like several with another delimiter."""
    other = next((d for d in ";\t,|" if len(header) == 1 and d in header[0]), "")
    return other and (
        f"; the columns seem to be separated by {other!r}; a .csv separates them by ',', a .tsv by "
        "'\\t'"
    )


def _json_rows(name: str, text: str, columns: Sequence[str] | None) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            record = parse_json(line, place)
        except InputError as error:
            raise InputError(f"{error}; one object a line is expected") from error
        if not isinstance(record, dict) or not record:
            raise InputError(f"{place}: not an object with named fields, but {shorten(record)}")
        columns = tuple(record) if columns is None else columns
        for column in columns:
            if not isinstance(record.get(column), (str, int, float)):
                found = f"is {shorten(record[column])}" if column in record else "is missing"
                raise InputError(
                    f"{place}: the field {column!r} {found}; a text or number is expected"
                )
        yield Row(place, tuple(columns), tuple(str(record[column]) for column in columns))


def format_names(names: Sequence[str]) -> str:
    """Return up to 20 names for a message, each shortened."""
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(map(shorten, names[:20])) + more
