"""XML is read whole or refused: nothing is expanded, fetched or opened; a hostile file costs neither time nor room."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest

from hemometric.vendors.source import ReadError
from hemometric.vendors.xml_file import MAX_XML_BYTES, MAX_XML_PARTS, number_of, read_xml, root_name, text_of

SECRET = "Quxabella"
Reason = Callable[[bytes], str]


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], Element]:
    """Read bytes as a file."""

    def one(content: bytes) -> Element:
        path = tmp_path / "file.xml"
        path.write_bytes(content)
        return read_xml(path)

    return one


@pytest.fixture
def reason(read: Callable[[bytes], Element]) -> Reason:
    """Read bytes that must be refused, and give the reason; the detail holds nothing of the file."""

    def one(content: bytes) -> str:
        with pytest.raises(ReadError) as refused:
            read(content)
        assert SECRET not in refused.value.detail
        return refused.value.reason

    return one


@pytest.fixture(scope="module")
def audited() -> list[str]:
    """What this process opens, resolves or connects to; a hook cannot be taken off again, so that there is only one."""
    seen: list[str] = []

    def audit(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"open", "socket.connect", "socket.getaddrinfo", "urllib.Request", "subprocess.Popen"}:
            seen.append(f"{event} {arguments[0]}")

    sys.addaudithook(audit)
    return seen


@pytest.fixture
def opened(audited: list[str]) -> list[str]:
    """What is opened, resolved or connected to from here on."""
    audited.clear()
    return audited


def test_what_is_read(read) -> None:
    root = read(b'<?xml version="1.0" encoding="ISO-8859-1"?>\n<a b="c">\xe4<d> x\n</d></a>')
    assert (root.tag, root.text, root.get("b"), text_of(root, "d"), text_of(root, "e")) == ("a", "\xe4", "c", "x", "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "windows-1252", "cp850"])
def test_encodings(read, encoding: str) -> None:
    declared = {"utf-8-sig": "utf-8", "utf-16-be": "utf-16"}.get(encoding, encoding)
    content = f'<?xml version="1.0" encoding="{declared}"?><!-- x --><a>\xe4</a>'.encode(encoding)
    content = b"\xfe\xff" + content if encoding == "utf-16-be" else content
    assert read(content).text == "\xe4"
    assert root_name(content) == "a"


@pytest.mark.parametrize(
    "encoding", ["klingon", "shift_jis", "utf-7", "base64", "idna", "undefined", "utf-32", "x" * 999]
)
def test_unknown_encodings(reason, encoding: str) -> None:
    assert reason(f'<?xml version="1.0" encoding="{encoding}"?><a>{SECRET}</a>'.encode()) == "unreadable"


@pytest.mark.parametrize(
    "content",
    [
        b"<a>&undefined;</a>",
        b'<!DOCTYPE a SYSTEM "a.dtd"><a>&undefined;</a>',
        b"<a><b></a>",
        b"<a/><b/>",
        b"<a/>\0\0",
        b"<a b=c/>",
        b'<a b="1" b="2"/>',
        b"<a>\xff</a>",
        b"\x89HDF\r\n",
        b"Quxabella",
    ],
)
def test_not_well_formed(reason, content: bytes) -> None:
    assert reason(content) == "unreadable"


def test_each_cut_is_said_to_be_one(reason) -> None:
    content = '<?xml version="1.0"?><!-- x --><a><b c="d">Quxab\xe4lla</b><![CDATA[e]]><f/></a>'.encode()
    for length in range(1, len(content)):
        assert reason(content[:length]) == "truncated", content[:length]
    assert reason(b"") == "truncated"


@pytest.mark.parametrize(
    "subset",
    [
        "",
        '<!ENTITY x "y">',
        '<!ENTITY x SYSTEM "{file}">',
        '<!ENTITY x PUBLIC "-//X//Y//EN" "http://127.0.0.1:9/x">',
        '<!ENTITY % x SYSTEM "{file}">%x;',
        "<!ENTITY % x \"<!ENTITY y SYSTEM 'http://127.0.0.1:9/x'>\">%x;",
        "<!ELEMENT a ANY>",
        '<!ATTLIST a b CDATA "c">',
        '<!NOTATION x SYSTEM "{file}">',
        '<!ENTITY x SYSTEM "{file}" NDATA y>',
        "<!-- x -->",
    ],
)
def test_a_document_type_of_its_own_is_refused(read, reason, opened, tmp_path: Path, subset: str) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text(SECRET)
    opened.clear()
    content = f"<!DOCTYPE a [{subset.format(file=canary)}]><a>&x;</a>".encode()
    assert reason(content) == "unsafe"
    assert set(opened) == {f"open {tmp_path / 'file.xml'}"}


@pytest.mark.parametrize("where", ['SYSTEM "{}"', 'PUBLIC "-//GE//MUSE//EN" "{}"'])
@pytest.mark.parametrize("outer", ["restecg.dtd", "file://{folder}/restecg.dtd", "http://127.0.0.1:9/restecg.dtd"])
def test_an_outer_document_type_is_passed_over(read, reason, opened, tmp_path: Path, where: str, outer: str) -> None:
    (tmp_path / "restecg.dtd").write_text(f'<!ENTITY x "{SECRET}"><!ATTLIST a b CDATA "{SECRET}">')
    opened.clear()
    doctype = f"<!DOCTYPE a {where.format(outer.format(folder=tmp_path))}>"
    root = read(f"{doctype}<a>y</a>".encode())
    assert (root.text, root.attrib) == ("y", {})
    assert reason(f"{doctype}<a>&x;</a>".encode()) == "unreadable"
    assert set(opened) == {f"open {tmp_path / 'file.xml'}"}


def test_a_bomb_is_refused_at_once(reason) -> None:
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    quadratic = f'<!ENTITY l11 "{"y" * 100_000}">'
    started = time.process_time()
    for definitions, used in ((f'<!ENTITY l0 "y">{laughs}', "&l11;"), (quadratic, "&l11;" * 100_000)):
        assert reason(f"<!DOCTYPE a [{definitions}]><a>{used}</a>".encode()) == "unsafe"
        bomb_in_utf16 = f'<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a [{definitions}]><a>{used}</a>'
        assert reason(bomb_in_utf16.encode("utf-16")) == "unsafe"
    assert time.process_time() - started < 2


def test_deep_nesting_is_read_and_searched(read) -> None:
    root = read(b"<a>" * 100_000 + b"<b>x</b>" + b"</a>" * 100_000)
    assert sum(1 for _ in root.iter()) == 100_001
    assert text_of(root, ".//b") == "x"
    del root  # which must not run out of stack either


@pytest.mark.parametrize(
    "content",
    [
        b"<a>" + b"<b/>" * MAX_XML_PARTS + b"</a>",
        b"<a>" * (MAX_XML_PARTS + 1),
        b"<a " + b" ".join(b'a%x=""' % i for i in range(MAX_XML_PARTS)) + b"/>",
        b"<a>" + b"x" * MAX_XML_BYTES + b"</a>",
        b"<!--" + b"-" * MAX_XML_BYTES,
        f"<a>{'<b/>' * MAX_XML_PARTS}</a>".encode("utf-16"),
    ],
    ids=["wide", "deep", "attributes", "text", "comment", "utf-16"],
)
def test_more_than_an_ecg_holds_is_refused_unparsed(reason, content: bytes) -> None:
    started = time.process_time()
    assert reason(content) == "too_long"
    assert time.process_time() - started < 2


def test_as_much_as_is_allowed_is_read_in_time(read) -> None:
    started = time.process_time()
    assert len(read(b"<a>" + b"<b/>" * (MAX_XML_PARTS - 2) + b"</a>")) == MAX_XML_PARTS - 2
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"<RestingECG>", "RestingECG"),
        (b'<?xml version="1.0"?>\r\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\r\n<RestingECG>', "RestingECG"),
        (b"\xef\xbb\xbf<?xml?><!-- <b> --> <?c <d>?><!-- > --><e f='g'/>", "e"),
        (b"<!DOCTYPE a [<!ELEMENT b ANY>]><a>", "a"),
        (b'<x:AnnotatedECG xmlns:x="urn:hl7-org:v3">', "AnnotatedECG"),
        (b"<com.xiriuz.sema.xml.schillerEDI.SchillerEDI>", "com.xiriuz.sema.xml.schillerEDI.SchillerEDI"),
        ("<a>\xe4".encode("utf-16"), "a"),
        (b"\xfe\xff" + "<a>\xe4".encode("utf-16-be") + b"\0", "a"),
        (b"<!-- no end <a>", None),
        (b"<?no end <a>", None),
        (b"<!DOCTYPE a [<!ENTITY b '<c>'>", None),
        (b"<!DOCTYPE a", None),
        (b"   ", None),
        (b"", None),
        (b"<", None),
        (b"text <a>", None),
        (b"\x89HDF", None),
    ],
)
def test_root_name(head: bytes, name: str | None) -> None:
    assert root_name(head) == name


def test_heads_that_would_be_slow_to_search() -> None:
    started = time.process_time()
    for unit in (b"<?", b"<!--", b"<!DOCTYPE", b"<!DOCTYPE[", b"<", b"<a:", b" "):
        root_name(unit * (4096 // len(unit)))
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "number"),
    [("4.88", 4.88), (" 500\n", 500), ("-1e-3", -1e-3), ("", None), ("+5.", 5), ("1e40", 1e40)],
)
def test_numbers(read, text: str, number: float | None) -> None:
    assert number_of(read(f"<a><b>{text}</b></a>".encode()), "b") == number
    assert number_of(read(b"<a/>"), "b") is None


@pytest.mark.parametrize("text", ["4,88", "nan", "inf", "1_000", "0x10", "5 0", "\u0665", SECRET, "1" * 99, "1e9999"])
def test_what_is_no_number(read, text: str) -> None:
    with pytest.raises(ReadError) as refused:
        number_of(read(f"<a><b>{text}</b></a>".encode()), "b")
    assert refused.value.reason == "unreadable"
    assert SECRET not in refused.value.detail
