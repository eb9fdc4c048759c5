"""Drawings made fit for a page: nothing to load, nothing that runs, ids of their own, colours that follow the page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from hemometric.evaluation.figures import style

COLOUR_VARIABLES = {
    style.INK: "--ink",
    style.MUTED: "--muted",
    style.HAIRLINE: "--hairline",
    style.BLUE: "--blue",
    style.VERMILLION: "--vermillion",
    style.GREEN: "--green",
    style.PINK: "--pink",
    style.SKY: "--sky",
    style.AMBER: "--amber",
    style.BAND: "--band",
    style.PAPER_LINE: "--paper-line",
}
"""CSS variable of each colour of `style`; the page defines them for light and for dark."""

_LARGEST_REM_PER_POINT = 1.4 / 16
_FORBIDDEN = {"script", "foreignObject", "iframe", "object", "embed", "audio", "video", "a", "animate", "set"}
_HREF_PREFIXES = ("#", "data:image/png;base64,")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}\b")
_URL = re.compile(r"url\(\s*['\"]?(?P<target>[^)'\"]*)['\"]?\s*\)")


def inline_svg(svg: str, prefix: str, alt: str) -> str:
    """Rewrite a whole SVG document as an element for HTML.

    Parameters
    ----------
    svg : str
        As `style.to_svg` writes it.
    prefix : str
        Put before each id, so that drawings of one page do not share any.
    alt : str
        What the drawing shows, for readers who do not see it.

    Raises
    ------
    ValueError
        It is not well-formed SVG, or it holds a script, an event handler or a reference to anything outside.
    """
    if "<!ENTITY" in svg:
        raise ValueError("the drawing declares an entity; only plain SVG goes into a report")
    try:
        root = ET.fromstring(svg)  # noqa: S314 (entities are refused above)
    except ET.ParseError as error:
        raise ValueError(f"the drawing is not well-formed SVG: {error}") from error
    if _local(root.tag) != "svg":
        raise ValueError(f"the drawing is a <{_local(root.tag)}>, not an <svg>")
    for element in list(root.iter()):
        for child in list(element):
            # Styles of a drawing would reach the whole page; its metadata names other places.
            if _local(child.tag) in ("metadata", "style"):
                element.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        if element.tag in _FORBIDDEN:
            raise ValueError(f"the drawing holds a <{element.tag}>; only plain SVG goes into a report")
        element.attrib = {
            _local(name): _attribute(_local(name), value, prefix) for name, value in element.attrib.items()
        }
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    box = root.get("viewBox", "").split()
    if len(box) == 4:
        # A drawing may shrink with the page, and grow until its text is as large as the text around it.
        root.set("style", f"max-width: {float(box[2]) * _LARGEST_REM_PER_POINT:.1f}rem")
    root.set("role", "img")
    root.set("aria-label", alt)
    return ET.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attribute(name: str, value: str, prefix: str) -> str:
    if name.lower().startswith("on"):
        raise ValueError(f"the drawing holds the event handler {name}; only plain SVG goes into a report")
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        if not value.startswith(_HREF_PREFIXES):
            raise ValueError(f"the drawing refers to {value[:60]!r}; a report loads nothing")
        return f"#{prefix}-{value[1:]}" if value.startswith("#") else value
    for match in _URL.finditer(value):
        if not match["target"].startswith("#"):
            raise ValueError(f"the drawing refers to {match['target'][:60]!r}; a report loads nothing")
    value = _URL.sub(lambda match: f"url(#{prefix}-{match['target'][1:]})", value)
    if name == "style":
        value = _COLOUR.sub(_variable, value)
    return value


def _variable(match: re.Match[str]) -> str:
    colour = match[0].lower()
    return f"var({COLOUR_VARIABLES[colour]}, {colour})" if colour in COLOUR_VARIABLES else colour
