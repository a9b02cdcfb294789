"""What arcad keeps on its disk, found and taken apart from what the documents say: segment files by
backends/disk/README.md, the index by `arcactl journal dump`, extents by crypto/FORMAT.md (arca_decrypt.py)."""
import contextlib
import json
import os
import pathlib
import re
import struct
from dataclasses import dataclass

from awscrt.checksums import crc32c

import arca_decrypt
from arca import arcactl

RECORD_HEADER = 48
DEAD_WORD = slice(40, 48)


def aligned(size):
    return -(-size // 8) * 8


def place_crc(segment, offset):
    return crc32c(struct.pack("<IQ", segment, offset))


def record_header(segment, offset, name, length, data_crc=0):
    """A sound one, as arcad (or whoever can write to its disk) makes it."""
    rest = struct.pack("<Q20sI", length, name, data_crc)
    return b"\xa7REC" + struct.pack("<I", crc32c(rest, place_crc(segment, offset))) + rest + bytes(8)


def dead_word(segment, offset, span):
    units = struct.pack("<I", span // 8)
    return units + struct.pack("<I", crc32c(units, place_crc(segment, offset)))


@dataclass
class Extent:
    """One stored extent: the record that holds it."""
    path: pathlib.Path
    segment: int
    offset: int  # of the record's header
    length: int  # of the extent: envelope header, ciphertext, tags
    name: bytes  # blob id, extent number

    @property
    def data(self):
        return self.offset + RECORD_HEADER

    @property
    def end(self):
        return self.offset + aligned(RECORD_HEADER + self.length)

    def read(self):
        with open(self.path, "rb") as file:
            return os.pread(file.fileno(), self.length, self.data)

    def read_record(self):
        with open(self.path, "rb") as file:
            return os.pread(file.fileno(), self.end - self.offset, self.offset)


@dataclass
class Blob:
    id: bytes
    size: int
    suite: int
    key_id: int
    wrapped_key: bytes
    extents: list


class Stored:
    """A gateway's journal, read once; it may be running."""

    def __init__(self, gateway):
        self.gateway = gateway
        dump = arcactl("journal", "dump", "--index", gateway.folder / "index", "--json").stdout
        self.mutations = [json.loads(line) for line in dump.splitlines()]
        self.blobs, self.bucket_keys, self.bodies = {}, {}, {}
        parts = {}
        for mutation in self.mutations:
            change = mutation[mutation["operation"]]
            if "blob" in change:
                self._add_blob(change["blob"])
            for key in [change["key"]] if mutation["operation"] == "create_bucket" else change.get("keys", []):
                if isinstance(key, dict):
                    self.bucket_keys[key["id"]] = (key["root_generation"], bytes.fromhex(key["wrapped"]))
            if mutation["operation"] == "put_object":
                object = change["object"]
                manifest = parts.get(object.get("manifest_id"), {})
                ids = [object["blob_id"]] if "blob_id" in object else [manifest[n] for n in sorted(manifest)]
                self.bodies.setdefault(change["key"], []).append(ids)
            elif mutation["operation"] == "put_part":
                parts.setdefault(change["upload_id"], {})[change["part"]["number"]] = change["part"]["blob_id"]
            elif mutation["operation"] == "complete_upload":
                manifest = parts[change["upload_id"]]
                self.bodies.setdefault(change["key"], []).append([manifest[p["number"]] for p in change["parts"]])

    def _add_blob(self, new):
        row = new["blob"]
        blob = Blob(bytes.fromhex(row["id"]), row["size"], row["suite"], row["key_id"],
                    bytes.fromhex(row["wrapped_key"]), [])
        for number, extent in enumerate(new.get("extents") or [row]):
            locator = bytes.fromhex(extent["replicas"][0]["locator"])
            segment, offset, length = struct.unpack("<IQQ", locator)
            path = self.gateway.folder / "objects" / "segments" / f"{segment:08d}.seg"
            blob.extents.append(Extent(path, segment, offset, length, blob.id + struct.pack(">I", number)))
        self.blobs[row["id"]] = blob

    def body(self, key, version=-1):
        """The blobs of the object that was stored under the key, in order."""
        return [self.blobs[id] for id in self.bodies[key][version]]

    def extents(self, key, version=-1):
        return [extent for blob in self.body(key, version) for extent in blob.extents]

    def keyring(self):
        return arca_decrypt.Keyring((self.gateway.folder / "keyring").read_bytes(),
                                    key_file=(self.gateway.folder / "keyring.key").read_bytes())

    def bucket_key(self, blob):
        generation, wrapped = self.bucket_keys[blob.key_id]
        return self.keyring().bucket_key(blob.key_id, generation, wrapped)

    def decrypt(self, key, version=-1):
        plain = b""
        for blob in self.body(key, version):
            bucket_key = self.bucket_key(blob)
            for number, extent in enumerate(blob.extents):
                plain += arca_decrypt.open_extent(extent.read(), bucket_key, blob.id, number)
        return plain


def opened(paths):
    """Each of these files, to be read and written; one that its store has removed meanwhile is passed over."""
    for path in sorted(paths):
        with contextlib.suppress(FileNotFoundError), open(path, "r+b", buffering=0) as file:
            yield file


def damage_segment(file, rng):
    """A bit of each extent that stands in the segment, in its header, data or tags."""
    data = file.read()
    for record in re.finditer(rb"\xa7REC", data):
        length = int.from_bytes(data[record.start() + 8:record.start() + 16], "little")
        if 0 < length <= len(data) - record.start() - RECORD_HEADER:
            at = record.start() + RECORD_HEADER + rng.randrange(length)
            os.pwrite(file.fileno(), bytes([data[at] ^ 0x40]), at)


@contextlib.contextmanager
def changed(*changes):
    """Writes (path, offset, bytes) and puts back what stood there."""
    before = []
    with contextlib.ExitStack() as stack:
        for path, offset, data in changes:
            file = stack.enter_context(open(path, "r+b", buffering=0))
            before.append((file.fileno(), os.pread(file.fileno(), len(data), offset), offset))
        try:
            for (fd, _, offset), (_, _, data) in zip(before, changes):
                assert os.pwrite(fd, data, offset) == len(data)
            yield
        finally:
            for fd, data, offset in reversed(before):
                os.pwrite(fd, data, offset)


@contextlib.contextmanager
def cut(path, size):
    """Cuts the file there and puts back what was behind."""
    with open(path, "r+b", buffering=0) as file:
        tail = os.pread(file.fileno(), os.fstat(file.fileno()).st_size - size, size)
        file.truncate(size)
        try:
            yield
        finally:
            os.pwrite(file.fileno(), tail, size)
