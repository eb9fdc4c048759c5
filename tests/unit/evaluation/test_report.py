import functools
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from hemometric.evaluation.figures import predicted_against_true, roc_curve, to_png
from hemometric.evaluation.inline_svg import COLOUR_VARIABLES, inline_svg
from hemometric.evaluation.intervals import Interval
from hemometric.evaluation.page import ecg_page
from hemometric.evaluation.report import (
    KeyFigure,
    Picture,
    Report,
    Section,
    Text,
    picture,
    render,
    write_report,
)
from hemometric.evaluation.table import Column, Table

NASTY = "<script>alert('x')</script> & \"quotes\""
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """A page's elements; fails on tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@functools.cache
def shown(width="full", alt="A scatter & more", caption="Caption <i>"):
    return picture(figure(), alt, caption, width=width)


@functools.cache
def ecg_picture():
    return picture(ecg_page(np.zeros((12, 100)), 100), "Page", "ECG")


@functools.cache
def whole():
    return render(report())


def figure():
    return predicted_against_true([10.0, 20.0, 30.0], [12.0, 19.0, 25.0])


def report(**changes):
    table = Table(
        "Scores of <b>systems</b>",
        (
            Column("System"),
            Column("RMSE", "mmHg", 2, best="lowest"),
            Column("Δ RMSE", "mmHg", 2, signed=True),
            Column("n"),
        ),
        (
            ("model", Interval(5.557, 4.9, 6.1), Interval(-2.2, -3.0, -1.4), 1234),
            ("probe", Interval(6.38, 5.6, 7.2), Interval(0.001, -1.0, 1.0), 1234),
            ("chance", Interval(math.nan, math.nan, math.nan, reason="no labelled recording"), None, 0),
        ),
        ("Notes are escaped: <i>",),
    )
    content = {
        "title": f"Title {NASTY}",
        "subtitle": "Subtitle",
        "summary": ("First finding.", NASTY),
        "notes": ("An honest limit.",),
        "key_figures": (KeyFigure("6.12 mmHg", "RMSE", "95 % interval"),),
        "sections": (
            Section("Scores", (Text("One paragraph.\n\nAnother <one>."), table, Text("Careful.", "warning"))),
            Section(
                "Scores",
                (
                    shown("half"),
                    shown("half", "Again", "Same"),
                ),
            ),
            Section(
                "Größe & Maß",
                (
                    Picture(to_png(figure(), 40), 'Raster "quoted"', "As PNG"),
                    ecg_picture(),
                ),
            ),
        ),
        "facts": (("seed", "0"), ("command", "hemometric evaluate <x>")),
    }
    return Report(**(content | changes))


def test_nothing_is_loaded_and_nothing_runs():
    html = whole()
    without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)
    assert not re.search(
        r"https?:|//[a-z]|@import|<script|<link|<iframe|javascript:|\son[a-z]+=", without_pictures, re.IGNORECASE
    )
    page = Page(html)
    policy = next(attrs["content"] for attrs in page.all("meta") if "http-equiv" in attrs)
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    for _, attrs in page.elements:
        for name in ("src", "href", "xlink:href"):
            assert attrs.get(name, "#").startswith(("#", "data:image/png;base64,"))


def test_negative_numbers_of_the_summary_have_a_minus_sign_and_words_their_hyphens():
    html = render(report(summary=("A fine-tuned model: -0.42 mmHg [-1.12, +0.22], in 95-100 of 100.",)))
    assert "<li>A fine-tuned model: −0.42 mmHg [−1.12, +0.22], in 95-100 of 100.</li>" in html


def test_every_part_is_there_in_order():
    page = Page(whole())
    expected = """6.12 mmHg|First finding.|An honest limit.|One paragraph.|Another <one>.
        Table 1. Scores of <b>systems</b>|Notes are escaped: <i>|Careful.|Figure 1. Caption <i>|Figure 2. Same
        Größe & Maß|Figure 3. As PNG|Figure 4. ECG|How this was made|hemometric evaluate <x>"""
    expected = [words.strip() for words in re.split(r"[|\n]", expected)]
    # The contents list some headings first: look for the parts after it.
    text = page.text.replace(" .", ".")[page.text.index("6.12 mmHg") :]
    places = [text.index(words) for words in expected]
    assert places == sorted(places)
    assert page.text.count("alert('x')") == 3  # title twice, summary once: as text
    assert page.all("script") == []


def test_contents_reach_every_section_and_ids_are_unique():
    page = Page(whole())
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"][1:] for attrs in page.all("a")]
    assert set(targets) <= set(ids)
    assert {attrs["id"] for attrs in page.all("section")} <= set(targets)
    references = re.findall(r"url\(#([^)]+)\)", whole()) + [attrs["href"][1:] for attrs in page.all("use")]
    assert references
    assert set(references) <= set(ids)


def test_accessible_names_and_table_semantics():
    page = Page(whole())
    assert page.all("html") == [{"lang": "en"}]
    drawings = [attrs for attrs in page.all("svg") if attrs.get("role") == "img"]
    assert [attrs["aria-label"] for attrs in drawings] == ["A scatter & more", "Again", "Page"]
    assert page.all("img")[0]["alt"] == 'Raster "quoted"'
    assert len(page.all("main")) == len(page.all("h1")) == len(page.all("caption")) == 1
    scopes = [attrs["scope"] for attrs in page.all("th")]
    assert scopes == ["col"] * 4 + ["row"] * 3
    for attrs in page.all("section"):
        assert attrs["aria-labelledby"] in {element.get("id") for _, element in page.elements}


def test_numbers_are_formatted_and_the_best_is_emphasised():
    html = whole()
    words = Page(html).text
    assert '<b class="best">5.56</b><span class="interval">[4.90, 6.10]</span>' in html
    assert html.count('<b class="best">') == 1
    assert "−2.20 [−3.00, −1.40]" in words
    assert "0.00 [−1.00, +1.00]" in words
    assert "1,234" in words
    assert "n/a" in words
    assert "RMSE of chance: no labelled recording." in words


def test_both_schemes_define_every_colour_of_the_figures():
    html = whole()
    light, dark = html.index(":root {"), html.index("@media (prefers-color-scheme: dark)")
    for variable in COLOUR_VARIABLES.values():
        assert f"{variable}: #" in html[light:dark]
        assert f"{variable}: #" in html[dark : html.index("* { box-sizing")]
    assert "var(--blue, #0072b2)" in html
    assert "@media print" in html


def test_the_file_is_whole_and_the_same_each_time(tmp_path):
    path = write_report(report(), tmp_path / "new" / "report.html")
    assert path.read_text(encoding="utf-8") == render(report())
    write_report(report(title="Second"), path)
    assert "<title>Second</title>" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_a_report_that_cannot_be_drawn_leaves_the_old_one(tmp_path):
    path = write_report(report(), tmp_path / "report.html")
    before = path.read_bytes()
    bad = Section("Bad", (Picture("<svg><script/></svg>", "bad", "bad"),))
    with pytest.raises(ValueError, match="<script>"):
        write_report(report(sections=(bad,)), path)
    assert path.read_bytes() == before


def test_an_empty_report_is_a_page():
    page = Page(render(Report("Title", "", (), ())))
    assert page.all("section") == []
    assert "What limits" not in page.text


@pytest.mark.parametrize(
    ("svg", "message"),
    [
        ("<svg><script>1</script></svg>", "<script>"),
        ("<svg><foreignObject/></svg>", "<foreignObject>"),
        ('<svg><g onclick="x()"/></svg>', "onclick"),
        ('<svg><image href="http://example.org/a.png"/></svg>', "loads nothing"),
        ('<svg><g style="fill: url(http://example.org/a)"/></svg>', "loads nothing"),
        ('<!DOCTYPE svg [<!ENTITY a "b">]><svg/>', "entity"),
        ("<svg><g></svg>", "well-formed"),
        ("<p/>", "not an <svg>"),
    ],
)
def test_a_drawing_with_more_than_lines_is_refused(svg, message):
    with pytest.raises(ValueError, match=message):
        inline_svg(svg, "f1", "alt")


def test_text_in_a_drawing_stays_text():
    drawn = roc_curve([0, 1], {"<script>bad</script>": [0.1, 0.9]})
    html = render(report(sections=(Section("ROC", (picture(drawn, "ROC", "ROC"),)),)))
    assert Page(html).all("script") == []
    assert "&lt;script&gt;bad" in html


def test_malformed_parts_are_refused():
    with pytest.raises(ValueError, match="a row has 1 cells for 2 columns"):
        Table("t", (Column("a"), Column("b")), (("x",),))
    with pytest.raises(ValueError, match="alt is empty"):
        Picture("<svg/>", " ", "c")
    with pytest.raises(ValueError, match="not a PNG"):
        Picture(b"JFIF", "a", "c")
