"""The rows of a CSV file, as records by their columns' names, each with where it stands."""

import csv
from collections.abc import Iterator
from itertools import chain

from training.timeline.errors import UnreadableFile, some
from training.timeline.record import AUTHOR, DATE, ID, TEXT, Record
from training.timeline.stream import MOST_RECORD_BYTES, lines


def csv_rows(name: str, pieces: Iterator[bytes]) -> Iterator[tuple[str, Record]]:
    row_length = 0

    def limited() -> Iterator[str]:
        nonlocal row_length
        for number, line in lines(name, pieces):
            row_length += len(line)
            if row_length > MOST_RECORD_BYTES:
                raise UnreadableFile(f"{name}, line {number}: the row never ends; check its quotes, or export again.")
            yield line

    source = limited()
    first = next(source)
    delimiter = max(",;\t", key=first.count)  # spreadsheets in half of Europe write semicolons
    reader = csv.reader(chain([first], source), delimiter=delimiter)
    header: list[str] = []
    try:
        for row in reader:
            row_length = 0
            if not header:
                header = _header(name, row)
            elif any(row[len(header) :]):
                raise UnreadableFile(
                    f"{name}, line {reader.line_num} has {len(row)} cells under {len(header)} columns; put texts that "
                    f"hold {delimiter!r} in double quotes."
                )
            elif any(row):
                yield f"line {reader.line_num}", dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise UnreadableFile(
            f"{name}, line {reader.line_num} is not CSV ({error}); look for a quote that is never closed."
        ) from error


def _header(name: str, row: list[str]) -> list[str]:
    header = [column.strip().lower() for column in row]
    if not set(header) & set(TEXT):
        text, number, date, author = (" or ".join(names) for names in (TEXT, ID, DATE, AUTHOR))
        raise UnreadableFile(
            f"{name} has the columns {some(header)}; its first line must name {text}, "
            f"and if it can {number}, {date}, and {author}."
        )
    return header
