"""CSV, TSV and JSON Lines files: quoting, delimiters and errors."""

import gzip
from pathlib import Path

import pytest
from data_files import write_file

from tinygrad_rnn import data
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host  # files are processed on the host

INVALID = {
    "empty": ("a.csv", "  \n", r"a.csv: the file is empty"),
    "header only": ("a.csv", "text,label\n", "expected rows after the header"),
    "other columns": (
        "a.csv",
        "text,class\na,b\n",
        r"line 1: .*expected a column 'label', found 'text', 'cl",
    ),
    "semicolons": ("a.csv", "text;label\na;b\n", r"line 1: .*separated by ';'"),
    "twice": ("a.csv", "text,label,label\na,b,c\n", r"line 1: two columns have the same name"),
    "a cell too many": (
        "a.csv",
        "text,label\na,b\n\nc, d,e\n",
        r"line 4: expected 2 cells .*, found 3",
    ),
    "a cell too few": ("a.tsv", "text\tlabel\na\n", r"line 2: expected 2 cells .*, found 1"),
    "an open quote": ("a.csv", 'text,label\na,b\n"c,d\n', r"line 3: unexpected end of data"),
    "a quotation": ("a.csv", 'text,label\n"a" b,c\n', r"line 2: .*inside it must be doubled"),
    "a quoted header": ("a.tsv", '"text"\t"label"\n"a"\t"b"\n', r"TSV has no quoting: save"),
    "a quoted tab": ("a.tsv", 'text\tlabel\n"a\tb"\tc\n', r"line 2: expected 2 cells.*no quoting"),
    "a line break": (
        "a.csv",
        'text,label\n"a\nb",x\nc,d,e\n',
        r"line 4: expected 2 cells .*, found 3",
    ),
    "no text": ("a.csv", "text,label\na,b\n ,c\n", r"line 3: the text is empty"),
    "no label": ("a.csv", "text,label\na,b\nc,\n", r"line 3: the label is empty"),
    "latin 1": ("a.csv", "text,label\na,b\nä,b\n".encode("latin-1"), r"in line 3 .*encoding"),
    "not JSON": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text"\n',
        r"line 2 .*not JSON.*one JSON object per line",
    ),
    "nested": ("a.jsonl", '{"text": "a", "label": ' + "[" * 9999, r"line 1 .*nests more than"),
    "not a text": (
        "a.jsonl",
        '{"text": "a", "label": ' + "[" * 90 + "]" * 90 + "}",
        r"'label' is \[\[\[\[\[\[\[\.\.\.\]\]\]\]\]\]\]; expected a text or number$",
    ),
    "no object": ("a.jsonl", '["a", "b"]\n', r"line 1: expected an object"),
    "no fields": ("a.jsonl", "{}\n", r"line 1: expected an object with named fields"),
    "no field": ("a.jsonl", '{"text": "a"}\n', r"line 1: the field 'label' is missing"),
    "null": ("a.jsonl", '{"text": "a", "label": null}\n', r"line 1: the field 'label' is None"),
    "unknown suffix": ("a.xls", "text,label\na,b\n", r"ends in .csv, .tsv, .jsonl"),
    "no table": (
        "a.txt.gz",
        gzip.compress(b"a"),
        r"ends in .csv, .tsv, .jsonl, optionally followed by .gz",
    ),
    "a line break in a header": ("a.csv", 'text,"la\nbel"\na,b\n', r"found 'text', 'la\\nbel'"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_files(tmp_path: Path, case: str) -> None:
    name, content, message = INVALID[case]
    with pytest.raises(InputError, match=message) as error:
        data.LabeledText.from_file(write_file(tmp_path, name, content))
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


QUOTES = [
    'she said "no\tno',
    '"a\tb',
    'a\t"b',
    '"a"\tb',
    'a ""b"\tc"',
    '"""\t"',
]

"""Rows of a TSV file that would be merged or invalid if quotation marks were special."""


@pytest.mark.parametrize("suffix", [".tsv", ".TSV", ".tsv.gz"])
@pytest.mark.parametrize("row", QUOTES)
def test_tsv_has_no_quoting(tmp_path: Path, row: str, suffix: str) -> None:
    rows = ["x\ty", row, "x\tz", row, "x\tw"]
    content = "\n".join(["{}\t{}", *rows]).encode()
    cells = [line.split("\t") for line in rows]

    def write(*header: str) -> Path:
        text = content.decode().format(*header).encode()
        return write_file(tmp_path, f"a{suffix}", gzip.compress(text) if "gz" in suffix else text)

    pairs = data.ParallelText.from_file(write("source", "target"))
    assert len(pairs) == 5
    decoded = [
        (pairs.source_vocabulary.decode(a), pairs.target_vocabulary.decode(b)) for a, b in pairs
    ]
    assert decoded == [(a.split(), b.split()) for a, b in cells]
    texts = data.LabeledText.from_file(write("text", "label"))
    assert [texts.classes[n] for _, n in texts] == [b for _, b in cells]
    numbers = "\n".join(["note\tn", *(f"{a}\t{k}" for k, (a, _) in enumerate(cells))])
    series = data.TimeSeries.from_file(write_file(tmp_path, "n.tsv", numbers), "n")
    assert series.values.tolist() == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".CSV.GZ"])
@pytest.mark.parametrize("cell", ["a\nb", 'a\n"b"\n\nc', "\ta,\n,", "a\n" * 70_000])
def test_a_quoted_cell_of_a_csv_spans_lines(tmp_path: Path, cell: str, suffix: str) -> None:
    quoted = cell.replace('"', '""')
    text = f'text,label\n"{quoted}",x\n"b",y\n'.encode()
    path = write_file(
        tmp_path, f"a{suffix}", gzip.compress(text) if "gz" in suffix.lower() else text
    )
    dataset = data.LabeledText.from_file(path)
    assert [dataset.vocabulary.decode(ids) for ids, _ in dataset] == [cell.split(), ["b"]]


@pytest.mark.parametrize(
    ("name", "content", "delimiter"),
    [
        ("a.csv", "a;b\n1;2\n", "';'"),
        ("a.csv", "a;b\n1,5;2,5\n", "';'"),
        ("a.csv", "a\tb\n1\t2\n", r"'\t'"),
        ("a.csv", "a|b\n1|2\n", "'|'"),
        ("a.tsv", "a,b\n1,2\n", "','"),
        ("a.tsv", "a;b\n1;2\n", "';'"),
    ],
)
def test_errors_name_another_delimiter(
    tmp_path: Path, name: str, content: str, delimiter: str
) -> None:
    path = write_file(tmp_path, name, content)
    for columns in (None, "a"):
        with pytest.raises(InputError) as error:
            data.TimeSeries.from_file(path, columns)
        assert f"the columns seem to be separated by {delimiter}" in str(error.value)
