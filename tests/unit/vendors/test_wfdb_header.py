"""The words of a header: time, persons as various archives name them, segments."""

from datetime import datetime

import pytest

from hemometric.vendors.wfdb_header import Segment, parse_header


@pytest.mark.parametrize(
    ("start", "acquired"),
    [
        ("13:37:59 05/11/2019", datetime(2019, 11, 5, 13, 37, 59)),
        ("8:26:04\t26/10/1994", datetime(1994, 10, 26, 8, 26, 4)),
        ("10:44:18.529 04/05/2704", datetime(2704, 5, 4, 10, 44, 18, 529000)),
        ("23:59:59.9999999 31/12/1999", datetime(2000, 1, 1)),
        ("", None),
        ("13:37:59", None),  # a time without a date is no time
        ("12-May-2020 12:33:59", None),  # CinC: when the file was made
        ("24:00:00 05/11/2019", None),
        ("13:37:59 31/02/2019", None),
        ("13:37:59 11/05/19", None),
        ("13:37:59 05/11/0000", None),
        ("23:59:59.9999999 31/12/9999", None),
        ("[13:37:59 05/11/2019]", None),
    ],
)
def test_acquired(start: str, acquired: datetime | None) -> None:
    header = parse_header(f"rec 1 500 1200 {start}\nrec.dat 16 200 16 0 0 0 0 I\n".encode())
    assert header.acquired == acquired
    assert parse_header(f"rec/1 1 500 1200 {start}\nrec_1 1200\n".encode()).acquired == acquired


@pytest.mark.parametrize(
    ("line", "comments"),
    [
        ("#Age: 74", (("age", "74"),)),
        ("# Exam ID: 1111", (("examid", "1111"),)),
        ("# Dx: 426783006,251146004", (("dx", "426783006,251146004"),)),
        ("#<age>: 51", (("age", "51"),)),
        ("# <age>: 63 <sex>: M <diagnoses> none", (("age", "63"), ("sex", "M"), ("diagnoses", "none"))),
        ("#<subject_id>: 10000032", (("subjectid", "10000032"),)),
        ("# <age>: ?? <sex>: ?", (("age", "??"), ("sex", "?"))),
        ("# Start lysis therapy (hh.mm): 19:45", (("startlysistherapyhhmm", "19:45"),)),
        ("# 69 M 1085 1629 x1", ()),  # unlabelled numbers are not guessed at
        ("#", ()),
        ("# <", ()),
        ("#" + "<" * 100_000, ()),
        ("# <>: 5", ()),
    ],
)
def test_comments(line: str, comments: tuple) -> None:
    assert parse_header(f"rec 1 500 1200\nrec.dat 16 200 16 0 0 0 0 I\n{line}\n".encode()).comments == comments


def test_segments() -> None:
    header = parse_header(b"rec/4 3 125 600\nrec_layout 0\n~ 100\nrec_1 200\nrec_2 300\n# <age>: 63\n")
    assert header.num_segments == 4
    assert header.segments == (
        Segment("rec_layout", 0),
        Segment("~", 100),
        Segment("rec_1", 200),
        Segment("rec_2", 300),
    )


@pytest.mark.parametrize("line", ["../rec_1 200", "a/b 200", "rec_1", "rec_1 -5", "rec_1 200 7", "~~ 5", "rec.1 200"])
def test_lines_that_are_no_segments_are_left_out(line: str) -> None:
    header = parse_header(f"rec/2 3 125 600\n{line}\nrec_2 300\n".encode())
    assert (header.num_segments, header.segments) == (2, (Segment("rec_2", 300),))
