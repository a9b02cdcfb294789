"""Three disks, of which two make a write: whatever happens to one of them, no client notices, and afterwards every extent
is on all three again."""
import random
import re
import shutil
import subprocess

import pytest

from arca import Arca, arcactl, killed_at_the_end, wait_until
from filesystem import fill
from stored import RECORD_HEADER

DISKS = ["disk1", "disk2", "disk3"]
SIZES = [1, 100, 4096, 65536, 70000, 300_000, 1 << 20]


class Cluster:
    """A gateway over three disks, and what was stored in it."""

    def __init__(self, folder, repair="{rate: 1GiB, operations: 1000}", **options):
        self.folder = folder
        self.gateway = Arca(folder, backends=[{"name": name, "driver": "disk", "path": name, "segment_size": "16MiB"}
                                              for name in DISKS],
                            placements=[{"name": "default", "backends": DISKS, "write_quorum": 2}],
                            extra=f"repair: {repair}\n", **options)
        self.bodies = {}

    def start(self):
        self.gateway.start()
        self.s3 = self.gateway.boto3()

    def create(self):
        self.start()
        self.s3.create_bucket(Bucket="bucket")
        return self

    def put(self, count, prefix="", sizes=SIZES):
        for i in range(count):
            key = f"{prefix}{i}"
            body = random.Random(key).randbytes(sizes[i % len(sizes)])
            self.s3.put_object(Bucket="bucket", Key=key, Body=body)
            self.bodies[key] = body

    def read_all(self):
        for key, body in self.bodies.items():
            assert self.s3.get_object(Bucket="bucket", Key=key)["Body"].read() == body, key

    def metric(self, name):
        return self.gateway.metric(f"arca_{name}")

    def wait_quiet(self, made=0):
        """Until `made` replicas were made by repair and nothing is left to do."""
        wait_until(lambda: self.metric("repairs_total") >= made and self.metric("repairs_pending") == 0,
                   what="repair")

    def extents(self):
        return sum(-(-len(body) // (8 << 20)) for body in self.bodies.values())

    def close(self, garbage=0):
        """What is stored is whole: every extent on every disk, all of them verified, and nothing else but that many deleted
        ones, which may have gone before a straggler had them."""
        self.gateway.stop()
        done = arcactl("check", "--config", self.gateway.config_path, "--deep", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        extents = int(re.search(r"^(\d+) extents in the index", done.stdout, re.M)[1])
        assert 0 <= extents - self.extents() * len(DISKS) <= garbage * len(DISKS), done.stdout

    def segments(self, disk):
        return sorted((self.folder / disk / "segments").glob("*.seg"))


@pytest.fixture
def cluster(tmp_path):
    with killed_at_the_end(Cluster, tmp_path / "arca") as make:
        yield make


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own for the third disk."""
    folder = tmp_path / "arca" / "disk3"
    folder.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "arca-test", folder], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_nothing_to_repair(cluster):
    """Stragglers' replicas are kept: in the end all disks have all, with nothing copied."""
    one = cluster().create()
    one.put(40)
    one.put(2, "big", [20 << 20])
    one.wait_quiet()
    assert one.metric("repairs_total") == 0
    one.close()


def test_full_disk(cluster, small_disk):
    one = cluster().create()
    one.put(10, "before")
    fill(small_disk)
    one.put(40, "while")
    one.put(1, "big", [10 << 20])
    one.read_all()
    one.gateway.stop()
    done = arcactl("check", "--config", one.gateway.config_path)
    pending = int(re.search(r"^(\d+) extents lack replicas", done.stdout, re.M)[1])
    assert pending >= 10  # small ones found room in what their segment had
    one.start()
    (small_disk / "filler").unlink()
    one.wait_quiet(made=pending)
    one.read_all()
    one.close()


def test_damaged_replicas(cluster):
    """Damage in headers, tags and data of one disk: the readers get the other replicas, the disk is healed."""
    one = cluster().create()
    one.put(30)
    one.put(1, "big", [10 << 20])
    one.wait_quiet()
    for path in one.segments("disk1"):
        with open(path, "r+b") as file:
            data = file.read()
            for record in re.finditer(rb"\xa7REC", data):
                length = int.from_bytes(data[record.start() + 8:record.start() + 16], "little")
                if length > 1 << 24 or record.start() + RECORD_HEADER + length > len(data):
                    continue
                at = record.start() + RECORD_HEADER + random.Random(record.start()).randrange(length)
                file.seek(at)
                file.write(bytes([data[at] ^ 0x40]))
    wait_until(lambda: one.read_all() or one.metric("quarantined_total") >= one.extents(),
               what="readers meet all the damage: where a hedge was faster, they did not")
    one.wait_quiet(one.extents())
    before = one.metric("damaged_reads_total")
    one.read_all()
    assert one.metric("damaged_reads_total") == before
    one.close()


def test_replaced_disk(cluster):
    """An empty disk in the place of one that was full."""
    one = cluster().create()
    one.put(30)
    one.wait_quiet()
    one.gateway.stop()
    shutil.rmtree(one.folder / "disk1")
    one.start()
    one.read_all()
    one.wait_quiet(len(one.bodies))
    one.read_all()
    one.close()


def test_killed_while_repairing(cluster, small_disk):
    """Readers and writers go on while arcad is killed again and again in the middle of repair."""
    one = cluster(repair="{rate: 1GiB, operations: 40}").create()
    fill(small_disk)
    one.put(60, sizes=[100, 70000])
    (small_disk / "filler").unlink()
    for round in range(4):
        start = one.metric("repairs_total")
        wait_until(lambda: one.metric("repairs_total") >= start + 5 or one.metric("repairs_pending") == 0,
                   what="repair")
        one.gateway.kill()
        searches = len(one.gateway.log_events("orphans_removed"))
        one.start()
        one.put(3, f"round{round}-")
        key, _ = one.bodies.popitem()
        one.s3.delete_object(Bucket="bucket", Key=key)
        one.read_all()
    one.wait_quiet()
    wait_until(lambda: len(one.gateway.log_events("orphans_removed")) > searches, what="the orphans of the last kill")
    one.close(garbage=4)
