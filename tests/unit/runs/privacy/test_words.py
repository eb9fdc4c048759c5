"""Words are read in confidence and looked for in every spelling that is promised."""

from __future__ import annotations

import base64
from datetime import date
from pathlib import Path

import pytest

from hemometric.errors import UsageError
from hemometric.runs.privacy.search import Search, Streams
from hemometric.runs.privacy.words import Word, patterns_of, read_words

WORDS = ("Müller-Łukasik", "MRN8675309", "Anna")


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "words"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_one_word_a_line_with_its_number(tmp_path: Path) -> None:
    words = read_words(written(tmp_path, "\ufeff  Müller \r\n\r\n17.03.1951\n00123456"))
    assert [(word.line, word.text) for word in words] == [(1, "Müller"), (3, "17.03.1951"), (4, "00123456")]
    assert [word.numbers for word in words] == [(), (19510317,), (123456,)]
    assert "Müller" not in repr(words)
    assert "ller" not in repr(patterns_of(words))


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("1951-03-17", [date(1951, 3, 17)]),
        ("19510317", [date(1951, 3, 17)]),
        ("17.03.1951", [date(1951, 3, 17)]),
        ("03/17/1951", [date(1951, 3, 17)]),
        ("17/03/1951", [date(1951, 3, 17)]),
        ("03/04/1951", [date(1951, 3, 4), date(1951, 4, 3)]),
        ("1951317", []),
        ("86753099", []),
        ("0231-03-17", []),
        ("MRN19510317", []),
    ],
)
def test_what_is_a_date(tmp_path: Path, text: str, days: list[date]) -> None:
    (word,) = read_words(written(tmp_path, text))
    assert list(word.dates) == days


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("long enough\nabc\n", "line 2"),
        ("a b c\n", "line 1"),
        ("\n \n", "no word"),
        ("", "no word"),
        (b"M\xfcller\n", "UTF-8"),
        ("word\n" * 100_001, "at once"),
    ],
)
def test_what_is_refused_is_not_repeated(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        read_words(written(tmp_path, content))
    assert "abc" not in str(error.value)
    for missing in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="no file"):
            read_words(missing)


def encoded(text: str) -> dict[str, bytes]:
    raw = text.encode()
    return {
        "raw": raw,
        "small": text.lower().encode(),
        "capital": text.upper().encode(),
        "mixed": "".join(a.upper() if i % 2 and a.isascii() else a for i, a in enumerate(text)).encode(),
        "latin": text.encode("cp1250"),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "utf-32-le": text.encode("utf-32-le"),
        "utf-32-be": text.encode("utf-32-be"),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        **{f"base64 {shift}": base64.b64encode(b"\xfa" * shift + raw + b"\xbe\xef") for shift in range(3)},
        **{f"url base64 {shift}": base64.urlsafe_b64encode(b"\xfa" * shift + raw + b"\xbe\xef") for shift in range(3)},
        "base64 of capitals": base64.b64encode(b"xxxx" + text.upper().encode() + b"x"),
    }


@pytest.mark.parametrize("text", WORDS)
@pytest.mark.parametrize("how", sorted(encoded("x")))
def test_every_encoding_is_found_however_it_is_cut(text: str, how: str) -> None:
    patterns = patterns_of((Word(1, "other words", ()), Word(2, text, ())))
    streams = Streams([Search(patterns.folded, fold=True), Search(patterns.exact, fold=False)])
    planted = b"\1\xff" + encoded(text)[how] + b"\2"
    for cut in range(len(planted) + 1):
        (hit,) = streams.hits([planted[:cut], b"", planted[cut:]])
        assert hit.line == 2
        assert 2 <= hit.start < hit.stop <= len(planted)
    spoiled = [bytes([byte ^ 1]) for byte in planted]
    assert list(streams.hits(spoiled)) == []


@pytest.mark.parametrize("spelled", ["1951-03-17", "19510317", "17.03.1951", "03/17/1951", "17-MAR-1951"])
@pytest.mark.parametrize("given", ["1951-03-17", "19510317", "17.03.1951", "03/17/1951"])
def test_a_date_is_found_in_any_spelling(given: str, spelled: str, tmp_path: Path) -> None:
    patterns = patterns_of(read_words(written(tmp_path, given)))
    streams = Streams([Search(patterns.folded, fold=True), Search(patterns.exact, fold=False)])
    for planted in (spelled.encode(), spelled.encode("utf-16-le"), base64.b64encode(b"ab" + spelled.encode() + b"c")):
        (hit,) = streams.hits([b"," + planted + b","])
        assert hit.line == 1
    escaped = spelled.replace("/", "\\/").encode()
    assert [hit.line for hit in streams.hits([b'"' + escaped + b'"'])] == [1]
