"""XML as devices write it, read so that nothing is expanded, fetched or defined by the file itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException, DTDForbidden
from defusedxml.ElementTree import DefusedXMLParser

from hemometric.vendors.source import ReadError, read_whole

_NOT_ROOT = re.compile(r"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\])?\s*>", re.DOTALL)
_ROOT = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)")


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
        ``truncated`` or ``unreadable`` where it is not well-formed, ``unsafe`` where it defines entities or holds a
        document type of its own, ``too_long``.
    OSError
        The file cannot be read.
    """
    content = read_whole(path)
    try:
        return _parse(content)
    except DefusedXmlException:
        raise ReadError("unsafe", "the XML defines entities or a document type of its own, which is refused") from None
    except (ParseError, LookupError, ValueError, RecursionError):
        complete = content.rstrip(b"\0 \t\r\n").endswith(b">")
        reason = "unreadable" if complete else "truncated"
        raise ReadError(reason, "it is not well-formed XML" if complete else "the XML ends before it should") from None


class _Parser(DefusedXMLParser):  # type: ignore[misc]  # the package has no types
    """Refuses each definition in the file.

    A bare reference to an outer DTD, which every MUSE file has, is passed over: nothing is fetched, and an outer file
    that is not read defines nothing.
    """

    def defused_start_doctype_decl(self, name: Any, sysid: Any, pubid: Any, has_internal_subset: Any) -> None:
        if has_internal_subset:
            raise DTDForbidden(name, sysid, pubid)


def _parse(content: bytes) -> Element:
    parser = _Parser(forbid_dtd=True, forbid_entities=True, forbid_external=True)
    parser.feed(content)
    return parser.close()  # type: ignore[no-any-return]
