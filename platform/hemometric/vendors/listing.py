"""Which records an archive or a store holds, found without copying more than what must be looked into.

In an archive every file is recognised as in a folder, by its first bytes. In a store each look is a request: a suffix
that one format alone has decides; the first bytes are fetched, in batches, for suffixes that several formats share
(``.xml``), for names without a suffix, and for those that end in a number, as DICOM's do. So in a store, unlike in a
folder, a file under the suffix of another format is refused rather than recognised, and one under an unknown suffix
is not met. A header beside which lies a signal file of its stem is taken for a record without segments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from hemometric.vendors.archive_members import Member
from hemometric.vendors.depot import Depot
from hemometric.vendors.folders import Found, by_suffix, choose, header_vendor, record_name
from hemometric.vendors.places import Place, base_name
from hemometric.vendors.scratch import scratch
from hemometric.vendors.source import HEAD_BYTES, MAX_FILE_BYTES, Piece, Refusal, Vendor, location_of, stem_of
from hemometric.vendors.wfdb_names import spellings

T = TypeVar("T")
_BATCH = 512
_MAX_HEADER_BYTES = (1 << 20) + 1
REFUSED = "refused"
"""The format of what is not even looked into."""

_DEPOT: Refusal = ("unsupported", "a file of several ECGs in an archive is read by an ingest only; unpack it")


def records_of(
    place: Place, members: Iterable[Member], vendors: Sequence[Vendor], depot: Depot | None
) -> Iterator[Found]:
    """Yield the records among some files of a place, and the files that are none.

    Parameters
    ----------
    members : iterable of Member
        A refused one is yielded as a refused record, so that it is counted, unless it belongs to a record that is
        then refused for it.
    depot : Depot or None
        Where files of several ECGs are copied to; these are refused without one.

    Raises
    ------
    PrecheckError, OSError
        As for `Depot.keep` and `Place.heads`.
    """
    folders: dict[str, dict[str, Member]] = defaultdict(dict)
    for member in members:
        folder, _, name = member.piece.name.rpartition("/")
        folders[folder][name] = member
    chosen = _chosen(place, [member for files in folders.values() for member in files.values()], vendors)
    with scratch() as headers:
        for files in folders.values():
            mine = {name: chosen[member.piece.name] for name, member in files.items() if member.piece.name in chosen}
            yield from _Folder(place, files, mine, depot, headers, vendors).records()


def _chosen(place: Place, members: Sequence[Member], vendors: Sequence[Vendor]) -> dict[str, Vendor]:
    """Find the vendor of each file that has one and is not refused."""
    chosen: dict[str, Vendor] = {}
    looked: list[Piece] = []
    for piece, refusal in members:
        if refusal is not None:
            continue
        named = by_suffix(piece.name, vendors)
        if place.heads_are_cheap or len(named) > 1 or _is_nondescript(piece.name):
            looked.append(piece)
        elif named:
            chosen[piece.name] = named[0]
    for batch in _batches(looked):
        for piece, head in zip(batch, place.heads(batch, HEAD_BYTES), strict=True):
            if (vendor := choose(Path(piece.name), head, vendors)) is not None:
                chosen[piece.name] = vendor
    return chosen


def _is_nondescript(name: str) -> bool:
    suffix = Path(name).suffix
    return not suffix or suffix[1:].isdecimal()


class _Folder:
    """The files of one folder of a place, and what they are to each other."""

    def __init__(
        self,
        place: Place,
        files: Mapping[str, Member],
        vendors: Mapping[str, Vendor],
        depot: Depot | None,
        scratch: Path,
        known: Sequence[Vendor],
    ) -> None:
        self._place, self._files, self._vendors, self._depot = place, files, vendors, depot
        self._scratch, self._known = scratch, known
        self._stems: dict[str, list[str]] = defaultdict(list)
        for name in files:
            self._stems[stem_of(name)].append(name)
        self._below: dict[str, tuple[str, ...]] = {}
        self._beside: dict[str, tuple[str, ...]] = {}
        self._look_into_headers()

    def records(self) -> Iterator[Found]:
        """Yield the records of this folder, its refused files and those that are no records."""
        parts = {part for below in self._below.values() for part in below}
        taken: set[str] = set()
        for name, vendor in self._vendors.items():
            if name not in parts:
                found, used = self._record(name, vendor)
                taken |= used
                yield from found
        for name, (piece, refusal) in self._files.items():
            if refusal is None and (name not in self._vendors or name in parts):
                yield Found(piece.name, "", piece.name)
        # Headers before the files that they would name: an encrypted record is one, not two.
        refused = [(name, piece, why) for name, (piece, why) in self._files.items() if why is not None]
        for name, piece, why in sorted(
            refused, key=lambda item: (header_vendor(item[0], self._known) is None, item[0])
        ):
            if name not in taken:
                header = header_vendor(name, self._known)
                taken |= set(self._stems[stem_of(name)]) if header else {name}
                record = record_name(piece.name, header) if header else piece.name
                yield Found(record, REFUSED, piece.name, "", self._place.address, (piece,), why)

    def _record(self, name: str, vendor: Vendor) -> tuple[list[Found], set[str]]:
        """Give the ECGs of one file, and the names of all files that make it up."""
        piece = self._files[name].piece
        record = record_name(piece.name, vendor)
        if vendor.items is not None:
            return self._items(piece, record, vendor), {name}
        used = self._closure(name) if vendor.by_stem else {name}
        pieces = tuple(self._files[one].piece for one in sorted(used))
        refusal = next((refused for one in sorted(used) if (refused := self._files[one].refusal) is not None), None)
        found = Found(record, vendor.name, piece.name, "", self._place.address, pieces, refusal)
        return [found], used

    def _items(self, piece: Piece, record: str, vendor: Vendor) -> list[Found]:
        kept: Path | Refusal = _DEPOT if self._depot is None else self._depot.keep(self._place, piece)
        if not isinstance(kept, Path):
            return [Found(record, vendor.name, piece.name, "", self._place.address, (piece,), kept)]
        origin = f"{location_of(self._place.address)}/{piece.name}"
        return [Found(record, vendor.name, str(kept), item, origin=origin) for item in vendor.list_items(kept)]

    def _closure(self, name: str) -> set[str]:
        """Name the files of a record: its own stem's, those that its header names, its segments', and theirs."""
        used: set[str] = set()
        waiting = [name]
        while waiting:
            header = waiting.pop()
            used.add(header)
            named = self._beside.get(header)
            near = self._of_stem(header) if named is None else named
            new = [one for one in near if one in self._files and one not in used]
            used.update(new)
            waiting.extend(one for one in new if one in self._vendors and self._vendors[one].by_stem)
        return used

    def _of_stem(self, name: str) -> list[str]:
        """Name the files of a stem that a record may consist of, where nobody looked into its header."""
        stem = self._stems[stem_of(name)]
        return [one for one in stem if self._files[one].piece.num_bytes <= MAX_FILE_BYTES]

    def _look_into_headers(self) -> None:
        wanted = [name for name, vendor in self._vendors.items() if self._is_looked_into(name, vendor)]
        for batch in _batches(wanted):
            heads = self._place.heads([self._files[name].piece for name in batch], _MAX_HEADER_BYTES)
            for name, head in zip(batch, heads, strict=True):
                vendor, written = self._vendors[name], base_name(name)
                if written is None:
                    continue
                path = self._scratch / written
                path.write_bytes(head)
                self._beside[name] = self._here(name, vendor.companions(path) if vendor.companions else ())
                self._below[name] = self._parts(name, path)
                for one in self._scratch.iterdir():
                    one.unlink()

    def _parts(self, name: str, path: Path) -> tuple[str, ...]:
        """Name the parts of a record, of which all other headers that it names must be seen; signal files are empty."""
        vendor = self._vendors[name]
        headers = [one for one in self._beside[name] if one != name and self._vendors.get(one) == vendor]
        if vendor.parts is None or not headers:
            return ()
        for batch in _batches(headers):
            heads = self._place.heads([self._files[one].piece for one in batch], _MAX_HEADER_BYTES)
            for one, head in zip(batch, heads, strict=True):
                path.with_name(one).write_bytes(head)
        for one in self._here(name, vendor.companions(path) if vendor.companions else ()):
            if one in self._files and self._files[one].refusal is None:
                path.with_name(one).touch()
        return self._here(name, vendor.parts(path))

    def _here(self, header: str, named: Iterable[Path]) -> tuple[str, ...]:
        """Give the names that files of a header have here, which may differ by capitals from what it says."""
        spelt = [spellings(Path(header), path.name) for path in named]
        return tuple(next((one for one in names if one in self._files), names[0]) for names in spelt)

    def _is_looked_into(self, name: str, vendor: Vendor) -> bool:
        if vendor.parts is None and vendor.companions is None:
            return False
        suffixes = {Path(one).suffix.casefold() for one in self._stems[stem_of(name)]}
        return self._place.heads_are_cheap or suffixes.isdisjoint(vendor.whole_with)


def _batches(items: Sequence[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
