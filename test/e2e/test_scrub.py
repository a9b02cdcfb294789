"""Two disks, of which one rots where nobody reads: scrub finds it and repair heals it, whenever arcad is killed."""
import random
import re

import pytest

from arca import IDLE, Arca, arcactl, killed_at_the_end, wait_until
from stored import damage_segment, opened

DISKS = ["disk1", "disk2"]
SIZES = [1, 100, 4096, 65536, 70000, 300_000]
FAST = "{rate: 1GiB, operations: 100000, interval: 1s}"


class Pair:
    """A gateway over two disks, and what was stored in it."""

    def __init__(self, folder, scrub):
        self.folder = folder
        self.gateway = Arca(folder, backends=[{"name": name, "driver": "disk", "path": name, "segment_size": "16MiB"}
                                              for name in DISKS],
                            placements=[{"name": "default", "backends": DISKS, "write_quorum": 2}],
                            extra=f"repair: {{rate: 1GiB, operations: 1000}}\nscrub: {scrub}\n")
        self.bodies = {}

    def start(self):
        self.gateway.start()
        self.s3 = self.gateway.boto3()

    def create(self, count, sizes=SIZES):
        self.start()
        self.s3.create_bucket(Bucket="bucket")
        for i in range(count):
            self.bodies[f"{i}"] = random.Random(i).randbytes(sizes[i % len(sizes)])
            self.s3.put_object(Bucket="bucket", Key=f"{i}", Body=self.bodies[f"{i}"])
        return self

    def configure(self, scrub):
        path = self.gateway.config_path
        path.write_text(re.sub(r"^scrub: .*$", f"scrub: {scrub}", path.read_text(), flags=re.M))

    def metric(self, name, **labels):
        return self.gateway.metric(f"arca_{name}", **labels)

    def scrub(self, what):
        return self.metric(f"job_{what}", job="scrub")

    def damage(self, disk):
        for file in opened((self.folder / disk / "segments").glob("*.seg")):
            damage_segment(file, random.Random(disk))

    def check(self):
        done = arcactl("check", "--config", self.gateway.config_path, "--deep", check=False)
        return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def pair(tmp_path):
    with killed_at_the_end(Pair, tmp_path / "arca") as make:
        yield make


def test_rot_is_found_and_healed(pair):
    """Damage in headers, tags and data of one disk, of small objects and of one with several extents. Nothing reads."""
    one = pair("{rate: 0}").create(40)
    one.bodies["big"] = random.Random("big").randbytes(20 << 20)
    one.s3.put_object(Bucket="bucket", Key="big", Body=one.bodies["big"])
    extents = 40 + 3
    one.gateway.stop()
    one.damage("disk1")
    whole, report = one.check()
    assert not whole, report
    one.configure(FAST)
    one.start()
    wait_until(lambda: one.metric("repairs_total") >= extents and one.metric("repairs_pending") == 0, what="repair")
    assert one.metric("scrub_damaged_total") == extents
    assert one.metric("scrub_lost_total") == 0
    assert len(one.gateway.log_events("quarantine")) == extents
    damaged = one.metric("damaged_reads_total")
    for key, body in one.bodies.items():
        assert one.s3.get_object(Bucket="bucket", Key=key)["Body"].read() == body, key
    assert one.metric("damaged_reads_total") == damaged
    one.gateway.stop()
    whole, report = one.check()
    assert whole, report


def test_round_goes_on_after_a_kill(pair):
    """What was looked at before a kill is not looked at again, but for the last second of it."""
    count, replicas, operations = 120, 240, 30
    one = pair("{rate: 0}").create(count, sizes=[100])
    one.gateway.stop()
    one.configure(f"{{rate: 1GiB, operations: {operations}, interval: 1h}}")
    one.start()
    before = 0
    for _ in range(2):
        wait_until(lambda: one.scrub("done") >= before + 25, what="the scrub")
        before = one.scrub("done")
        one.gateway.kill()
        one.start()
        wait_until(lambda: one.scrub("total") > 0, what="the scrub")
        assert one.scrub("done") >= before - 1.5 * operations / 2
    wait_until(lambda: one.scrub("state") == IDLE, what="the end of the round")
    assert one.scrub("done") == count
    assert one.metric("scrub_replicas_total") <= replicas - len(DISKS) * (before - operations)
    assert one.metric("scrub_damaged_total") == 0


def test_damage_without_another_copy_is_told(pair):
    """Both disks rot: nothing can be healed, nothing is thrown away, and the log says which blobs."""
    one = pair("{rate: 0}").create(3, sizes=[1000])
    one.gateway.stop()
    one.damage("disk1")
    one.damage("disk2")
    one.configure(FAST)
    one.start()
    wait_until(lambda: one.metric("scrub_lost_total") >= 6, what="two rounds")
    lost = one.gateway.log_events("scrub_lost")
    assert len({re.search(r"blob ([0-9a-f]{32})", str(event))[1] for event in lost}) == 3
    assert one.metric("repairs_total") == 0
    one.gateway.stop()
    whole, report = one.check()
    assert not whole
    assert re.search(r"^6 extents in the index", report, re.M), report
