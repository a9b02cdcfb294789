"""A disk, a MinIO, an Azurite and a Ceph behind one gateway, of which two make a write, with rclone and s3cmd in front. Each of
the four in turn dies, stands still, is full, damages what it holds, lies about it and loses its latest writes: no client is
told of an error, none gets a wrong byte, and afterwards all four hold the same again."""
import contextlib
import json
import os
import random
import re
import urllib.error

import pytest
from botocore.exceptions import ClientError

from arca import Arca, arcactl, wait_until
from azurite import Azurite
from datasets import big_file
from filesystem import Filesystem
from minio import Minio
from rgw import Rgw
from stored import damage_segment, opened
from traffic import Traffic

STORES = ["disk", "minio", "azure", "rgw"]
REMOTE = STORES[1:]
PLACEMENT = {"name": "default", "backends": STORES, "write_quorum": 2}
BUCKET = "clinic"
BACKGROUND = """\
repair: {rate: 1GiB, operations: 1000}
scrub: {rate: 1GiB, operations: 10000, interval: 2s, verify: full}
"""
ROUND = re.compile(r"(\d+) replicas were damaged or missing, (\d+) extents have no whole replica, (\d+) blobs could not")
CONVERGED_SECONDS = 120
REFUSED = 5
HEALTHY, DEGRADED, DOWN = 0, 1, 2

pytestmark = [pytest.mark.xdist_group("four_backends"), pytest.mark.timeout(300)]


class Disk:
    """The local one, on a file system of its own, because it shares arcad's life."""

    def __init__(self, folder, image):
        self.folder = folder
        self.filesystem = Filesystem(folder, 256, image)
        self.fill, self.make_room = self.filesystem.fill, self.filesystem.make_room
        self.freeze, self.thaw = self.filesystem.freeze, self.filesystem.thaw

    def segments(self):
        return (self.filesystem.seen / "store" / "segments").glob("*.seg")

    def settings(self, name, **_):
        return {"name": name, "driver": "disk", "path": str(self.folder / "store"), "segment_size": "16MiB"}

    def end(self):
        self.filesystem.end()


class OnSmallDisk:
    """A server whose data is in a small file system."""

    def __init__(self, kind, folder):
        self.filesystem = Filesystem(folder / "data", 256)
        self.server = kind(folder, wrapper=self.filesystem.wrapper)
        self.fill, self.make_room = self.filesystem.fill, self.filesystem.make_room

    def __getattr__(self, name):
        return getattr(self.server, name)

    def save(self, copy):
        self.server.kill()
        self.filesystem.save(copy)
        self.server.start()

    def roll_back(self, copy):
        self.server.kill()
        self.filesystem.restore(copy)
        self.server.start()

    def end(self):
        self.server.kill()
        self.filesystem.end()


class Cluster:
    """The gateway and its stores. Whatever a test does to one of them, it leaves all four equal."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "arca").mkdir()
        self.stores = {}
        self.stores["disk"] = Disk(folder / "arca" / "disk", folder / "disk.img")
        self.stores["minio"] = OnSmallDisk(Minio, folder / "minio")
        self.stores["azure"] = OnSmallDisk(Azurite, folder / "azurite")
        self.stores["rgw"] = Rgw(folder / "rgw")
        for name in REMOTE:
            self.stores[name].start()
        self.backends = self._backends("disk")
        self.gateway = Arca(folder / "arca", backends=self.backends, placements=[PLACEMENT], garbage_grace="1s",
                            wrapper=self.stores["disk"].filesystem.wrapper,
                            extra=BACKGROUND).start()
        self.gateway.s3cmd("mb", f"s3://{BUCKET}")
        self.gateway.s3cmd("put", "--multipart-chunk-size-mb=5", big_file(folder / "scan", 12 << 20), f"s3://{BUCKET}/scan")
        self.traffic = Traffic(self.gateway, folder / "traffic", BUCKET)

    def _backends(self, preferred):
        """Reads go to the cheapest that is in order."""
        return [self.stores[name].settings(name, timeout="8s", cost=0 if name == preferred else 9) if name != "disk" else
                {**self.stores[name].settings(name), "cost": 0 if name == preferred else 9} for name in STORES]

    def prefer(self, name):
        """Reads go there first, from a new start on."""
        self.gateway.stop()
        backends = self._backends(name)
        text = self.gateway.config_path.read_text()
        self.gateway.config_path.write_text(text.replace(json.dumps(self.backends), json.dumps(backends)))
        self.backends = backends
        self.gateway.start()
        return self.stores[name]

    def metric(self, name):
        return self.gateway.metric(f"arca_{name}")

    def state(self, name):
        return self.gateway.metric("arca_backend_state", backend=name)

    def wait_for_state(self, name, *states):
        wait_until(lambda: self.state(name) in states, what=f"{name} is in {states}")

    def put_late_object(self, name):
        """Which stays, whatever the clients do."""
        path = self.folder / f"late-{name}"
        path.write_bytes(os.urandom(5000))
        self.gateway.s3cmd("put", path, f"s3://{BUCKET}/{path.name}")

    def found_damage(self):
        return self.metric("quarantined_total") + self.metric("scrub_damaged_total") > 0

    def scrubbed(self):
        """Of each round that scrub has ended: replicas found damaged or missing, extents without a whole one, blobs not
        looked at as a whole."""
        rounds = [ROUND.search(event["message"]) for event in self.gateway.log_events("scrub")]
        return [[int(number) for number in one.groups()] for one in rounds if one is not None]

    def converge(self):
        """Until a round of scrub that has begun after this call finds everything whole."""
        before = len(self.scrubbed())

        def whole():
            return (len(self.scrubbed()) >= before + 2 and self.scrubbed()[-1] == [0, 0, 0] and
                    self.metric("repairs_pending") == 0)
        wait_until(whole, CONVERGED_SECONDS, "all is whole again")
        self.traffic.check()

    def wait_for_no_garbage(self):
        """What the index has forgotten is on none of them: all hold as much as the one that is asked first."""
        wait_until(lambda: len({len(self.stores[name].keys_of()) for name in REMOTE}) == 1, CONVERGED_SECONDS, "garbage")

    def verify(self):
        """Stopped, the index and all four say the same, to the last tag."""
        self.gateway.stop()
        done = arcactl("check", "--config", self.gateway.config_path, "--deep", check=False, wrapper=self.gateway.wrapper)
        assert done.returncode == 0 and "lack replicas" not in done.stdout, done.stdout[-4000:] + done.stderr[-2000:]
        extents = int(re.search(r"^(\d+) extents in the index, .*, all read and verified: 0 findings$", done.stdout, re.M)[1])
        held = [len(self.stores[name].keys_of()) for name in REMOTE]
        assert held == [extents // len(STORES)] * len(REMOTE) and extents % len(STORES) == 0

    def end(self):
        self.gateway.kill()
        for store in self.stores.values():
            store.end()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    one = Cluster(tmp_path_factory.mktemp("four"))
    yield one
    one.end()


@pytest.fixture
def traffic(cluster):
    yield cluster.traffic
    cluster.traffic.abandon()


def refuses_writes(cluster, name):
    """Fills also what was given back since."""
    cluster.stores[name].fill()
    return cluster.state(name) != HEALTHY


def fill(cluster, name):
    try:
        wait_until(lambda: refuses_writes(cluster, name), what=f"{name} is full")
        cluster.traffic.wait_rounds(0)
    finally:
        cluster.stores[name].make_room()


def freeze(cluster, name):
    """A disk whose writes hang still reads from memory, and is not taken for down, but for degraded."""
    cluster.stores[name].freeze()
    try:
        cluster.wait_for_state(name, *([DEGRADED, DOWN] if name == "disk" else [DOWN]))
        cluster.traffic.wait_rounds(0)
    finally:
        cluster.stores[name].thaw()


@pytest.mark.parametrize("name", STORES)
def test_full_and_frozen(cluster, traffic, name):
    cluster.prefer(name)
    traffic.start()
    traffic.wait_rounds(0)
    fill(cluster, name)
    freeze(cluster, name)
    cluster.wait_for_state(name, HEALTHY)
    traffic.stop()
    cluster.converge()


@pytest.mark.parametrize("name", REMOTE)
def test_killed(cluster, traffic, name):
    store = cluster.prefer(name)
    traffic.start()
    traffic.wait_rounds(0)
    store.kill()
    cluster.wait_for_state(name, DOWN)
    traffic.wait_rounds(0)
    assert cluster.metric("repairs_pending") > 0
    store.start()
    cluster.wait_for_state(name, HEALTHY)
    traffic.stop()
    cluster.converge()


def test_broken_disk(cluster, traffic):
    """Its file system fails with everything from one moment on; it is mended while arcad is stopped."""
    disk = cluster.prefer("disk")
    traffic.start()
    traffic.wait_rounds(0)
    disk.filesystem.break_down()
    cluster.wait_for_state("disk", DEGRADED, DOWN)
    traffic.wait_rounds(0)
    traffic.stop()
    assert cluster.metric("repairs_pending") > 0
    cluster.gateway.stop()
    disk.filesystem.mend()
    cluster.gateway.start()
    cluster.converge()


def flip(file, at):
    os.pwrite(file.fileno(), bytes([os.pread(file.fileno(), 1, at)[0] ^ 0x10]), at)


def damage_minio(store, rng):
    """A few parts, and bodies that stand behind the metadata in its file: MinIO finds that, and does not give them, but an
    error of its own. Were it most of what it has, it would be taken for MinIO's own trouble. The biggest is of the scan, which
    no client takes away before the damage is found."""
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(store.filesystem.seen / store.bucket) for name in names]
    sizes = {file.name: os.fstat(file.fileno()).st_size for file in opened(paths)}
    bodies = [path for path in sorted(sizes) if not path.endswith("/xl.meta") or sizes[path] > 2048]
    biggest = max(bodies, key=sizes.get)
    bodies.remove(biggest)
    for file in opened([biggest, *rng.sample(bodies, min(REFUSED - 1, len(bodies)))]):
        flip(file, sizes[file.name] - 1 - rng.randrange(sizes[file.name] // 4))


def damage_azurite(store, rng):
    """A bit in every 4 KiB of the files that many blobs share."""
    for file in opened((store.filesystem.seen / "__blobstorage__").iterdir()):
        for start in range(0, os.fstat(file.fileno()).st_size - 4096, 4096):
            flip(file, start + rng.randrange(4096))


def damage_disk(store, rng):
    for file in opened(store.segments()):
        damage_segment(file, rng)


@pytest.mark.parametrize("name,damage", [("disk", damage_disk), ("minio", damage_minio), ("azure", damage_azurite)],
                         ids=["disk", "minio", "azure"])
def test_damaged(cluster, traffic, name, damage):
    """Beneath the store: in its files, while it runs."""
    store = cluster.prefer(name)
    traffic.start()
    traffic.wait_rounds(0)
    damage(store, random.Random(name))
    traffic.wait_rounds(0)
    traffic.stop()
    cluster.converge()
    assert cluster.found_damage()


@pytest.mark.parametrize("name", REMOTE)
def test_lying(cluster, traffic, name):
    """The store answers with other bytes, as many, and thinks them right."""
    store = cluster.prefer(name)
    rng = random.Random(name)
    traffic.start()
    traffic.wait_rounds(0)
    for key in store.keys_of():
        with contextlib.suppress(ClientError, urllib.error.HTTPError):  # it was removed meanwhile
            body = bytearray(store.read(key))
            body[rng.randrange(len(body))] ^= 0x10
            store.write(key, bytes(body))
    traffic.wait_rounds(0)
    traffic.stop()
    cluster.converge()
    assert cluster.found_damage()


@pytest.mark.parametrize("name", REMOTE)
def test_rolled_back(cluster, traffic, name, tmp_path):
    """The store forgets what it was given of late, and has again what was removed."""
    store = cluster.prefer(name)
    store.save(tmp_path / "copy")
    cluster.wait_for_state(name, HEALTHY)
    held = set(store.keys_of())
    cluster.put_late_object(name)
    wait_until(lambda: set(store.keys_of()) - held, what=f"{name} has what it will forget")
    traffic.start()
    traffic.wait_rounds(0)
    store.roll_back(tmp_path / "copy")
    traffic.wait_rounds(0)
    traffic.stop()
    cluster.converge()
    assert cluster.found_damage()


def test_disk_rolled_back(cluster, traffic, tmp_path):
    """New extents come to stand where the index says that the lost ones are."""
    disk = cluster.prefer("disk")
    cluster.gateway.stop()
    disk.filesystem.save(tmp_path / "copy")
    cluster.gateway.start()
    traffic.start()
    traffic.wait_rounds(0)
    traffic.stop()
    cluster.gateway.stop()
    disk.filesystem.restore(tmp_path / "copy")
    cluster.gateway.start()
    traffic.start()
    traffic.wait_rounds(0)
    traffic.stop()
    cluster.converge()
    assert cluster.found_damage()


def test_afterwards(cluster):
    """What came back with the older copies and what interrupted writes have left is found with the next search, and then the
    index and the four say the same."""
    cluster.gateway.kill()
    before = len(cluster.gateway.log_events("orphans_removed"))
    cluster.gateway.start()
    wait_until(lambda: len(cluster.gateway.log_events("orphans_removed")) > before, what="the search for orphans")
    cluster.converge()
    cluster.wait_for_no_garbage()
    cluster.verify()
