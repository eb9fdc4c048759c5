"""A report as Markdown: all its words and tables; of pictures what they show."""

from __future__ import annotations

import re

from hemometric.evaluation.report import Part, Picture, Questions, Report, Text, paragraphs
from hemometric.evaluation.table import Table, laid_out

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def render_markdown(report: Report) -> str:
    """Render a report as Markdown text; what stands in it is escaped, so that a name is no heading or tag."""
    blocks = [f"# {_plain(report.title)}", *_some(report.subtitle)]
    blocks.append(
        "\n".join(
            f"- **{_plain(one.value)}** {_plain(_of_figure(one.label, one.detail))}" for one in report.key_figures
        )
    )
    blocks.append("\n".join(f"- {_plain(line)}" for line in report.summary))
    if report.notes:
        blocks += [f"**{_plain(report.notes_title)}**", "\n".join(f"- {_plain(note)}" for note in report.notes)]
    tables = 0
    for section in report.sections:
        blocks.append(f"## {_plain(section.title)}")
        for part in section.parts:
            tables += isinstance(part, Table)
            blocks += _part(part, tables)
    if report.facts:
        blocks += ["## How this was made", "\n".join(f"- {_plain(name)}: `{value}`" for name, value in report.facts)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _part(part: Part, number: int) -> list[str]:
    if isinstance(part, Text):
        return [_plain(paragraph) for paragraph in paragraphs(part.body)]
    if isinstance(part, Picture):
        return [f"*Figure: {_plain(part.caption)}* {_plain(part.alt)}"]
    if isinstance(part, Questions):
        return [
            block
            for question, answer in part.answers
            for block in (f"**{_plain(question)}**", *(_plain(paragraph) for paragraph in paragraphs(answer)))
        ]
    table = laid_out(part)
    titles = [
        _plain(f"{column['title']} ({column['unit']})" if column["unit"] else column["title"])
        for column in table["columns"]
    ]
    rows = [titles, ["---:" if column["numeric"] else "---" for column in table["columns"]]]
    rows += [
        [_plain(" ".join(filter(None, (cell["text"], cell["interval"])))) for cell in row] for row in table["rows"]
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    notes = "\n".join(f"- {_plain(note)}" for note in table["notes"])
    return [f"**Table {number}.** {_plain(part.caption)}", "\n".join(lines), notes]


def _some(text: str) -> list[str]:
    return [_plain(text)] if text else []


def _of_figure(label: str, detail: str) -> str:
    return f"{label} ({detail})" if detail else label


def _plain(text: str) -> str:
    return " ".join(_SPECIAL.sub(r"\\\1", text).split())
