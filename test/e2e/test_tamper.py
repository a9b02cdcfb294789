"""Who can write to the disk cannot make arcad tell a lie: whatever is changed there, a reader gets the right bytes, or
a 500 before any byte, or an answer that breaks off behind right bytes."""
import http.client
import os
import random
import ssl
import threading
import time
from dataclasses import dataclass

import botocore.exceptions
import pytest

from arca import Arca
from stored import DEAD_WORD, RECORD_HEADER, Stored, changed, cut, dead_word, record_header

SUITES = {"aes-256-gcm": 16, "xchacha20-poly1305": 16, "aegis-256": 32}
HEADER = 192  # of an extent
SEGMENT = 65536
EXTENT = 8 << 20
SMALL = 99
MIDDLE = 3 * SEGMENT + 500
BIG = 2 * EXTENT + (4 << 20) + 12345


@dataclass
class Answer:
    status: int
    length: int  # as promised
    body: bytes  # as far as it came

    @property
    def whole(self):
        return self.status in (200, 206) and len(self.body) == self.length


class Reader:
    """GETs on one connection that see what a broken answer had."""

    def __init__(self, gateway, bucket):
        self.gateway = gateway
        self.bucket = bucket
        self.signer = gateway.boto3()
        self.urls = {}
        self.connection = None

    def _connect(self):
        if self.gateway.tls:
            context = ssl.create_default_context(cafile=self.gateway.folder / "cert.pem")
            return http.client.HTTPSConnection("127.0.0.1", self.gateway.port, timeout=60, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)

    def get(self, key, first=None, last=None, **params):
        url = self.urls.get((key, *params.items()))
        if url is None:
            url = self.signer.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": key, **params})
            self.urls[(key, *params.items())] = url
        self.connection = self.connection or self._connect()
        self.connection.request("GET", url.split(self.gateway.host, 1)[1],
                                headers={} if first is None else {"Range": f"bytes={first}-{last}"})
        response = self.connection.getresponse()
        answer = Answer(response.status, int(response.headers["Content-Length"]), b"")
        pieces = []
        try:
            while (piece := response.read1(1 << 20)):
                pieces.append(piece)
        except (http.client.IncompleteRead, ConnectionError, ssl.SSLError):
            pass
        answer.body = b"".join(pieces)
        response.close()
        if len(answer.body) < answer.length or response.will_close:
            self.connection.close()
            self.connection = None
        return answer


def refused(answer):
    """A 500 that has nothing of the object."""
    return answer.status == 500 and b"<Code>InternalError</Code>" in answer.body and len(answer.body) == answer.length


def broken(answer, expected, before):
    """Right bytes, from none to `before`, and then no more."""
    return (answer.status in (200, 206) and answer.length == len(expected) and len(answer.body) < answer.length
            and len(answer.body) <= before and expected.startswith(answer.body))


def flipped(data, at, bits):
    return bytes([data[at] ^ bits])


class Victims:
    """A gateway, a bucket with objects to tamper with, and where they are."""

    def __init__(self, gateway, objects):
        self.gateway = gateway
        self.s3 = gateway.boto3()
        self.s3.create_bucket(Bucket="victims")
        self.bodies = {}
        for key, size in objects:
            self.put(key, size)
        self.reader = Reader(gateway, "victims")
        self.stored = Stored(gateway)

    def put(self, key, size):
        self.bodies[key] = random.Random(f"{key} {len(self.bodies)}").randbytes(size)
        self.s3.put_object(Bucket="victims", Key=key, Body=self.bodies[key])

    def metric(self):
        return self.gateway.metric("arca_damaged_reads_total")

    def only(self, key, version=-1):
        extent, = self.stored.extents(key, version)
        return extent

    def intact(self, *keys):
        for key in keys or self.bodies:
            answer = self.reader.get(key)
            assert answer.whole and answer.body == self.bodies[key], key


# --- small objects: every byte, every suite ---

@pytest.fixture(scope="module", params=SUITES)
def small(request, tmp_path_factory):
    gateway = Arca(tmp_path_factory.mktemp("tamper"), suite=request.param).start()
    victims = Victims(gateway, [("small", SMALL), ("small", SMALL), ("twin", SMALL), ("middle", MIDDLE),
                                ("middle", MIDDLE), ("middle-twin", MIDDLE)])
    victims.tag = SUITES[request.param]
    assert victims.only("small").length == HEADER + SMALL + victims.tag
    yield victims
    victims.reader = Reader(gateway, "victims")  # the connection has idled since
    victims.intact()
    gateway.stop()


def detected(victims, key, *changes):
    """The whole object is refused while the changes stand, and there again afterwards."""
    with changed(*changes):
        answer = victims.reader.get(key)
    assert refused(answer), (key, answer.status, len(answer.body), changes[0][1:])
    victims.intact(key)


def test_each_byte_flipped(small):
    """Only two things in a record are nobody's: the word that marks it as removed, when that does not verify, and what
    fills it up to a multiple of 8."""
    extent = small.only("small")
    record = extent.read_record()
    harmless = set(range(DEAD_WORD.start, DEAD_WORD.stop)) | set(range(RECORD_HEADER + extent.length, len(record)))
    assert len(record) > RECORD_HEADER + extent.length, "no padding to look at: choose another size"
    before, refusals = small.metric(), 0
    passed = set()
    for bits in (0xff, None):
        for at in range(len(record)):
            with changed((extent.path, extent.offset + at, flipped(record, at, bits or 1 << at % 8))):
                answer = small.reader.get("small")
            if refused(answer):
                refusals += 1
            else:
                assert answer.whole and answer.body == small.bodies["small"], at
                passed.add(at)
    assert passed == harmless
    assert small.metric() - before == refusals == 2 * (len(record) - len(harmless))


def test_each_cut_and_each_zeroed_tail(small):
    """At the moment of the read, the file ends within the record, or a disk has lost the record's tail."""
    extent = small.only("small")
    record = extent.read_record()
    end = RECORD_HEADER + extent.length
    for at in range(len(record)):
        with cut(extent.path, extent.offset + at):
            answer = small.reader.get("small")
        assert refused(answer) if at < end else answer.whole, at
        with changed((extent.path, extent.offset + at, bytes(len(record) - at))):
            answer = small.reader.get("small")
        if any(record[at:end]) and at != DEAD_WORD.start:
            assert refused(answer), at
    small.intact("small")


def test_each_byte_left_out_or_put_in(small):
    """What stands behind moves; the record stays as long as its header says."""
    extent = small.only("small")
    data = extent.read()
    for at in range(0, len(data), 3):
        detected(small, "small", (extent.path, extent.data, data[:at] + data[at + 1:] + b"\1"))
        detected(small, "small", (extent.path, extent.data, (data[:at] + b"\1" + data[at:])[:len(data)]))


@pytest.mark.parametrize("more", [-8, -1, 1, 8, 16, 32, SEGMENT])
def test_a_longer_or_shorter_record(small, more):
    """With a sound header that says so: the index knows the length."""
    extent = small.only("small")
    header = record_header(extent.segment, extent.offset, extent.name, extent.length + more)
    changes = [(extent.path, extent.offset, header)]
    if more > 0:
        changes.append((extent.path, extent.data + extent.length, os.urandom(more)))
    detected(small, "small", *changes)


def test_a_record_marked_as_removed(small):
    extent = small.only("small")
    before = small.metric()
    mark = dead_word(extent.segment, extent.offset, extent.end - extent.offset)
    detected(small, "small", (extent.path, extent.offset + DEAD_WORD.start, mark))
    detected(small, "small", (extent.path, extent.offset, bytes(extent.end - extent.offset)))
    assert small.metric() - before == 2


@pytest.mark.parametrize("key,other,version", [("small", "small", 0), ("small", "twin", -1), ("middle", "middle", 0),
                                               ("middle", "middle-twin", -1)])
def test_another_object_or_an_older_version_in_its_place(small, key, other, version):
    """Of the same bucket and size. Put there as it was; under a header forged for the place; with the right name, too;
    and with the right extent header before the wrong ciphertext, and the other way round."""
    extent, foreign = small.only(key), small.only(other, version)
    own, data = extent.read(), foreign.read()
    assert extent.length == foreign.length and own != data
    detected(small, key, (extent.path, extent.offset, foreign.read_record()))
    for name in (foreign.name, extent.name):
        forged = record_header(extent.segment, extent.offset, name, extent.length)
        detected(small, key, (extent.path, extent.offset, forged + data))
    detected(small, key, (extent.path, extent.data, own[:HEADER] + data[HEADER:]))
    detected(small, key, (extent.path, extent.data, data[:HEADER] + own[HEADER:]))
    detected(small, key, (extent.path, extent.data + HEADER, data[HEADER:HEADER + 40]))
    detected(small, key, (extent.path, extent.data + extent.length - small.tag, data[-small.tag:]))
    # the fields of the header that tell blobs apart, one by one: blob id, wrapped key, commitment
    for field in (slice(16, 32), slice(56, 128), slice(160, 192), slice(16, 128)):
        detected(small, key, (extent.path, extent.data + field.start, data[field]))


def test_segments_swapped_repeated_moved(small):
    extent = small.only("middle")
    data = extent.read()
    unit = SEGMENT + small.tag
    segments = [data[HEADER + i * unit:HEADER + (i + 1) * unit] for i in range(4)]
    twin, old = (e.read() for e in (small.only("middle-twin"), small.only("middle", 0)))
    for i in range(3):
        for j in range(3):
            if i != j:
                swapped = list(segments)
                swapped[i], swapped[j] = segments[j], segments[i]
                detected(small, "middle", (extent.path, extent.data + HEADER, b"".join(swapped)))
                detected(small, "middle", (extent.path, extent.data + HEADER + i * unit, segments[j]))
    for foreign in (twin, old):
        for i in range(4):
            detected(small, "middle", (extent.path, extent.data + HEADER + i * unit,
                                       foreign[HEADER + i * unit:HEADER + (i + 1) * unit]))
    detected(small, "middle", (extent.path, extent.data + HEADER, b"".join([segments[1], segments[2], segments[0]])))
    for i in range(4):  # left out: the others move up, the end is filled with what was there, or with zeroes
        rest = b"".join(segments[:i] + segments[i + 1:])
        detected(small, "middle", (extent.path, extent.data + HEADER, rest + segments[i]) if i < 3 else
                 (extent.path, extent.data + HEADER + 3 * unit, bytes(len(segments[3]))))
        detected(small, "middle", (extent.path, extent.data + HEADER, rest.ljust(len(data) - HEADER, b"\0")))


def test_an_extent_header_made_anew(small):
    """Each field of it, changed to another one that could be."""
    extent = small.only("small")
    header = extent.read()[:HEADER]
    for at, value in ((8, 2), (9, 1 + header[9] % 3), (10, 12), (11, 1), (15, 1), (31, header[31] ^ 1),
                      (39, header[39] ^ 1), (55, header[55] ^ 1), (128, 1), (159, 1)):
        detected(small, "small", (extent.path, extent.data + at, bytes([value])))


# --- big objects: samples, ranges, answers that break off ---

@pytest.fixture(scope="module", params=["plain", "tls"])
def big(request, tmp_path_factory):
    gateway = Arca(tmp_path_factory.mktemp("tamper"), tls=request.param == "tls").start()
    victims = Victims(gateway, [("big", BIG), ("big", BIG), ("twin", BIG)])
    victims.tag = 16
    yield victims
    victims.reader = Reader(gateway, "victims")  # the connection has idled since
    victims.intact()
    gateway.stop()


def place(extent, number, at, tag):
    """(number of the segment or None for the header, object offset where it begins and ends) of a stored byte."""
    if at < HEADER:
        return None, number * EXTENT, number * EXTENT
    segment = (at - HEADER) // (SEGMENT + tag)
    begin = number * EXTENT + segment * SEGMENT
    return segment, begin, min(begin + SEGMENT, BIG)


def breaks_off(victims, key, damage_begin, *changes):
    """The whole object, read while its bytes from there on are damaged."""
    with changed(*changes):
        answer = victims.reader.get(key)
    expected = victims.bodies[key]
    seen = answer.status, len(answer.body), damage_begin
    if damage_begin < SEGMENT:
        assert refused(answer), seen
    else:
        assert refused(answer) or broken(answer, expected, damage_begin), seen
    return answer


def test_samples_of_a_big_object(big):
    rng = random.Random(20)
    extents = big.stored.extents("big")
    assert len(extents) == 3
    before = big.metric()
    samples = [(0, 0), (0, HEADER), (1, 100), (2, HEADER - 1), (2, extents[2].length - 1), (1, extents[1].length - 1)]
    while len(samples) < 20:
        number = rng.randrange(3)
        samples.append((number, rng.randrange(extents[number].length)))
    answers = []
    for number, at in samples:
        extent = extents[number]
        data = extent.read()
        _, begin, _ = place(extent, number, at, big.tag)
        flip = flipped(data, at, 1 << rng.randrange(8))
        answers.append(breaks_off(big, "big", begin, (extent.path, extent.data + at, flip)))
    assert big.metric() - before == len(samples)
    assert any(refused(answer) for answer in answers)
    assert sum(len(answer.body) > SEGMENT for answer in answers) > 10, "answers that began and broke off"
    big.intact("big")


def test_ranges_around_a_damaged_segment(big):
    """A range that touches it is refused or breaks off before it; one that does not is right."""
    rng = random.Random(21)
    body, extents = big.bodies["big"], big.stored.extents("big")
    for _ in range(25):
        number = rng.randrange(3)
        extent = extents[number]
        at = rng.randrange(HEADER, extent.length)
        _, begin, end = place(extent, number, at, big.tag)
        ranges = [(begin, begin), (end - 1, end - 1), (rng.randrange(begin, end), BIG - 1),
                  (max(0, begin - rng.randrange(1, 3 << 20)), end - 1),
                  (max(0, begin - 100), begin - 1), (end, min(end + 100_000, BIG - 1))]
        with changed((extent.path, extent.data + at, flipped(extent.read(), at, 0x10))):
            for first, last in ranges:
                if first > last or first >= BIG:
                    continue
                answer = big.reader.get("big", first, last)
                expected = body[first:last + 1]
                if last < begin or first >= end:
                    assert answer.whole and answer.body == expected
                elif first >= begin:
                    assert refused(answer)
                else:
                    assert refused(answer) or broken(answer, expected, begin - first)


def test_ranges_beside_a_damaged_header(big):
    extent = big.stored.extents("big")[1]
    for at in (0, 20, 60, 170):
        with changed((extent.path, extent.data + at, flipped(extent.read(), at, 1))):
            assert refused(big.reader.get("big", EXTENT, EXTENT))
            assert broken(big.reader.get("big", EXTENT - SEGMENT - 1, EXTENT + 5),
                          big.bodies["big"][EXTENT - SEGMENT - 1:EXTENT + 6], SEGMENT + 1) or \
                refused(big.reader.get("big", EXTENT - SEGMENT - 1, EXTENT + 5))
            answer = big.reader.get("big", EXTENT + SEGMENT, EXTENT + 3 * SEGMENT)
            assert answer.whole and answer.body == big.bodies["big"][EXTENT + SEGMENT:EXTENT + 3 * SEGMENT + 1]


def test_extents_swapped_spliced_and_replayed(big):
    first, second, last = big.stored.extents("big")
    one, two = first.read(), second.read()
    assert first.length == second.length
    breaks_off(big, "big", 0, (first.path, first.data, two), (second.path, second.data, one))
    breaks_off(big, "big", EXTENT, (second.path, second.data, one))
    breaks_off(big, "big", EXTENT, (second.path, second.data, one[:HEADER] + two[HEADER:]))
    breaks_off(big, "big", EXTENT, (second.path, second.data, two[:HEADER] + one[HEADER:]))
    forged = record_header(second.segment, second.offset, second.name, second.length)
    breaks_off(big, "big", EXTENT, (second.path, second.offset, forged + one))
    for key, version in (("twin", -1), ("big", 0)):
        for number, foreign in enumerate(big.stored.extents(key, version)):
            extent = (first, second, last)[number]
            assert foreign.length == extent.length
            forged = record_header(extent.segment, extent.offset, extent.name, extent.length)
            breaks_off(big, "big", number * EXTENT, (extent.path, extent.offset, foreign.read_record()))
            breaks_off(big, "big", number * EXTENT, (extent.path, extent.offset, forged + foreign.read()))
    big.intact("big")


def test_segments_moved_in_a_big_object(big):
    rng = random.Random(22)
    unit = SEGMENT + big.tag
    extents = big.stored.extents("big")
    for _ in range(12):
        number, other = rng.randrange(2), rng.randrange(2)
        i, j = rng.sample(range(128), 2)
        extent, source = extents[number], extents[other]
        data, foreign = extent.read(), source.read()
        breaks_off(big, "big", number * EXTENT + i * SEGMENT,
                   (extent.path, extent.data + HEADER + i * unit, foreign[HEADER + j * unit:HEADER + (j + 1) * unit]))
        at, to = HEADER + i * unit, HEADER + j * unit
        breaks_off(big, "big", number * EXTENT + min(i, j) * SEGMENT,
                   (extent.path, extent.data + at, data[to:to + unit]),
                   (extent.path, extent.data + to, data[at:at + unit]))
        # the same segment, at the same place, of another object
        twin = big.stored.extents("twin")[number].read()
        breaks_off(big, "big", number * EXTENT + i * SEGMENT,
                   (extent.path, extent.data + HEADER + i * unit, twin[HEADER + i * unit:HEADER + (i + 1) * unit]))


def test_a_big_object_cut_and_zeroed(big):
    rng = random.Random(23)
    for number, extent in enumerate(big.stored.extents("big")):
        at = rng.randrange(SEGMENT, extent.length - 1)
        _, begin, _ = place(extent, number, at, big.tag)
        breaks_off(big, "big", begin, (extent.path, extent.data + at, bytes(extent.length - at)))
        with cut(extent.path, extent.data + at):
            answer = big.reader.get("big")
        assert refused(answer) or broken(answer, big.bodies["big"], begin)
    big.intact()


# --- other readers, other moments ---

def test_what_sdks_see_and_what_copies_do(big):
    """boto3 gets an error, not a short body; UploadPartCopy makes no part of what does not verify; the metadata of a
    damaged object and the objects beside it stay readable."""
    s3 = big.s3
    extents = big.stored.extents("big")
    upload = s3.create_multipart_upload(Bucket="victims", Key="copy")["UploadId"]
    source = {"Bucket": "victims", "Key": "big"}
    with changed((extents[1].path, extents[1].data + 5_000_000, os.urandom(64))):
        body = s3.get_object(Bucket="victims", Key="big")["Body"]
        with pytest.raises((botocore.exceptions.IncompleteReadError, botocore.exceptions.ResponseStreamingError,
                            botocore.exceptions.HTTPClientError)):
            body.read()
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            s3.get_object(Bucket="victims", Key="big", Range=f"bytes={EXTENT + 5_000_000}-{BIG - 1}")
        assert caught.value.response["Error"]["Code"] == "InternalError"
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            s3.upload_part_copy(Bucket="victims", Key="copy", UploadId=upload, PartNumber=1, CopySource=source)
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
        assert "Parts" not in s3.list_parts(Bucket="victims", Key="copy", UploadId=upload)
        assert s3.head_object(Bucket="victims", Key="big")["ContentLength"] == BIG
        big.intact("twin")
    s3.upload_part_copy(Bucket="victims", Key="copy", UploadId=upload, PartNumber=1, CopySource=source)
    s3.abort_multipart_upload(Bucket="victims", Key="copy", UploadId=upload)


def test_parts_swapped(plain, plain_bucket):
    """Parts of a multipart object of the same size, and parts of another upload."""
    s3 = plain.boto3()
    bodies = {}
    for key in ("parts", "other-parts"):
        upload = s3.create_multipart_upload(Bucket=plain_bucket, Key=key)["UploadId"]
        pieces = [os.urandom(5 << 20), os.urandom(5 << 20), os.urandom(100)]
        tags = [s3.upload_part(Bucket=plain_bucket, Key=key, UploadId=upload, PartNumber=i + 1, Body=piece)["ETag"]
                for i, piece in enumerate(pieces)]
        s3.complete_multipart_upload(Bucket=plain_bucket, Key=key, UploadId=upload, MultipartUpload={
            "Parts": [{"PartNumber": i + 1, "ETag": tag} for i, tag in enumerate(tags)]})
        bodies[key] = b"".join(pieces)
    stored, reader = Stored(plain), Reader(plain, plain_bucket)
    first, second, third = stored.extents("parts")
    other = stored.extents("other-parts")
    with changed((first.path, first.data, second.read()), (second.path, second.data, first.read())):
        assert refused(reader.get("parts")) and refused(reader.get("parts", PartNumber=2))
        assert reader.get("parts", PartNumber=3).body == bodies["parts"][-100:]
    for extent, foreign, begin in ((second, first, 5 << 20), (second, other[1], 5 << 20), (third, other[2], 10 << 20)):
        with changed((extent.path, extent.data, foreign.read())):
            assert broken(reader.get("parts"), bodies["parts"], begin)
            assert refused(reader.get("parts", begin, begin))
    for key in bodies:
        assert reader.get(key).body == bodies[key]


@pytest.mark.parametrize("what", ["flip", "cut", "gone", "other"])
def test_changes_while_arcad_is_down(tmp_path, what):
    """The last record is taken for a torn tail and its place used again: the object in it stays lost, and is never
    served from what stands there later."""
    gateway = Arca(tmp_path).start()
    victims = Victims(gateway, [("kept", 5000), ("last", 5000)])
    gateway.stop()
    extent = victims.only("last")
    if what == "cut":
        os.truncate(extent.path, extent.data + 1000)
    elif what == "gone":
        extent.path.unlink()
    else:
        with open(extent.path, "r+b") as file:
            file.seek(extent.data + 300)
            file.write(victims.only("kept").read()[300:] if what == "other" else flipped(extent.read(), 300, 4))
    gateway.start(arguments=["--accept-lost", "local"] if what == "gone" else [])  # nothing at all is left on the disk
    reader = Reader(gateway, "victims")
    assert refused(reader.get("last"))
    assert refused(reader.get("kept")) if what == "gone" else reader.get("kept").body == victims.bodies["kept"]
    s3 = gateway.boto3()
    body = os.urandom(5000)
    s3.put_object(Bucket="victims", Key="again", Body=body)
    placed, = Stored(gateway).extents("again")
    assert what == "gone" or (placed.path, placed.offset, placed.length) == (extent.path, extent.offset, extent.length)
    assert refused(reader.get("last"))
    assert reader.get("again").body == body
    s3.put_object(Bucket="victims", Key="last", Body=body)
    assert reader.get("last").body == body
    gateway.stop()


def test_flips_under_load_of_many_readers(small):
    """The bytes change while they are being read: each answer is right and whole, or none of it comes."""
    extent = small.only("middle")
    data = extent.read()
    wrong, counts = [], {"whole": 0, "refused": 0}
    done = threading.Event()

    def read():
        reader = Reader(small.gateway, "victims")
        while not done.is_set():
            answer = reader.get("middle")
            if answer.whole and answer.body == small.bodies["middle"]:
                counts["whole"] += 1
            elif refused(answer):
                counts["refused"] += 1
            else:
                wrong.append(answer)
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    rng = random.Random(24)
    while min(counts.values()) < 50 and not wrong and time.monotonic() < deadline:
        at = rng.randrange(len(data))
        with changed((extent.path, extent.data + at, flipped(data, at, 0x80))):
            time.sleep(0.002)
        time.sleep(0.002)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong and min(counts.values()) >= 50, counts
    small.intact("middle")
