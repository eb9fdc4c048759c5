"""XML as devices write it, read so that nothing is expanded, fetched or defined by the file itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers.expat import errors

from defusedxml.common import DefusedXmlException, DTDForbidden
from defusedxml.ElementTree import DefusedXMLParser

from hemometric.vendors.source import ReadError, read_whole

MAX_XML_BYTES = 1 << 26
"""A larger XML file is refused: a text in it takes up to four times its bytes."""

MAX_XML_PARTS = 1 << 19
"""So many elements and attributes at most: each takes hundreds of bytes, and real files hold some thousands."""

_NOT_ROOT = re.compile(r"<\?.*?(?:\?>|\Z)|<!--.*?(?:-->|\Z)|<!DOCTYPE[^>\[]*(?:>|\[.*?(?:\]\s*>|\Z)|\Z)", re.DOTALL)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)")
_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_AT_THE_END = {
    errors.codes[error]
    for error in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
}


def root_name(head: bytes) -> str | None:
    """Find the name of the root element, without its namespace, in the beginning of a file; None if it is no XML."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        text = head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    if not text.lstrip().startswith("<"):
        return None
    match = _ROOT.search(_NOT_ROOT.sub("", text))
    return match[1] if match else None


def read_xml(path: Path) -> Element:
    """Read a whole file.

    Raises
    ------
    ReadError
        ``truncated`` where it ends before its root does, ``unreadable`` where it is not well-formed, ``unsafe`` where
        it defines entities or holds a document type of its own, ``too_long``.
    OSError
        The file cannot be read.
    """
    content = read_whole(path)
    # Each element begins with one sign and each attribute holds the other, in every encoding that is read.
    if len(content) > MAX_XML_BYTES or content.count(b"<") + content.count(b"=") > MAX_XML_PARTS:
        raise ReadError("too_long", "the XML is larger, or has more elements, than that of an ECG")
    try:
        return _parse(content)
    except DefusedXmlException:
        raise ReadError("unsafe", "the XML defines entities or a document type of its own, which is refused") from None
    except ParseError as error:
        if error.code in _AT_THE_END:
            raise ReadError("truncated", "the XML ends before it should") from None
        raise ReadError("unreadable", "it is not well-formed XML") from None
    except (LookupError, ValueError):  # of encodings that Python does not know, or that take several bytes
        raise ReadError("unreadable", "the XML is in an encoding that is not read") from None


def text_of(element: Element, path: str) -> str:
    """Give the text of the first element at a path below, stripped; "" where there is none."""
    return (element.findtext(path) or "").strip()


def number_of(element: Element, path: str) -> float | None:
    """Read the number in the first element at a path below; None where there is none, or no text in it.

    Raises
    ------
    ReadError
        ``unreadable`` where the text is no number, such as one with a comma.
    """
    text = text_of(element, path)
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise ReadError("unreadable", "a number in the XML is not written as one")
    return float(text)


class _Parser(DefusedXMLParser):  # type: ignore[misc]  # the package has no types
    """Refuses each definition in the file.

    A bare reference to an outer DTD, which every MUSE file has, is passed over: nothing is fetched, and an outer file
    that is not read defines nothing.
    """

    def defused_start_doctype_decl(self, name: Any, sysid: Any, pubid: Any, has_internal_subset: Any) -> None:
        if has_internal_subset:
            raise DTDForbidden(name, sysid, pubid)


def _parse(content: bytes) -> Element:
    # Left to itself, the package builds elements in Python, whose `iter` runs out of stack when they are nested deeply.
    parser = _Parser(target=TreeBuilder(), forbid_dtd=True, forbid_entities=True, forbid_external=True)
    parser.feed(content)
    return parser.close()  # type: ignore[no-any-return]
