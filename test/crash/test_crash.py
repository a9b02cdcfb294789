"""A 200 means durable: arcad is killed at random points under a mixed load, and the machine loses its power."""
import os
import random
import re
import shutil
import subprocess
import time

import pytest

from arca import DISK, IDLE, PLACEMENT, Arca, arcactl, wait_until
from load import BUCKET, Load
from minio import Minio
from powerloss import PowerLoss


class Place:
    """Where a gateway of this test keeps things: one disk, or several backends of which two make a write. `part` is the part
    of the rounds that are run over it."""

    def __init__(self, part, backends, placement, minio=None):
        self.part = part
        self.backends = backends
        self.placement = placement
        self.minio = minio

    def gateway(self, folder, **more):
        return Arca(folder, garbage_grace="1s", backends=self.backends, placements=[self.placement],
                    extra="repair: {rate: 1GiB, operations: 1000}\n", **more)

    def assert_clean(self, gateway):
        """Stopped, and nothing is missing, orphaned or damaged; all that is there is on all of them."""
        check = arcactl("check", "--config", gateway.config_path, "--deep", check=False)
        assert check.returncode == 0 and "lack replicas" not in check.stdout, check.stdout[-4000:] + check.stderr[-2000:]
        extents = int(re.search(r"^(\d+) extents in the index", check.stdout, re.M)[1])
        assert extents % len(self.backends) == 0
        if self.minio is not None:
            assert len(self.minio.keys_of()) == extents // len(self.backends)


@pytest.fixture(params=["disk", "fan-out"])
def place(request, tmp_path):
    if request.param == "disk":
        yield Place(1, [DISK], PLACEMENT)
        return
    minio = Minio(tmp_path / "minio").start()
    disks = [{**DISK, "name": name, "path": name} for name in ("first", "second")]
    yield Place(1 / 5, [*disks, minio.settings("minio", timeout="8s")],
                {"name": "default", "backends": ["first", "second", "minio"], "write_quorum": 2}, minio)
    minio.kill()


def converge(gateway):
    """Runs until the garbage of all rounds is gone and nothing lacks a replica, then stops."""
    gateway.start()
    wait_until(lambda: _is_quiet(gateway), what="garbage is collected and all is repaired")
    gateway.stop()


def _is_quiet(gateway):
    before = gateway.metric("arca_garbage_collected_total")
    time.sleep(3)  # their own pace; what matters is that a whole pass finds nothing
    return gateway.metric("arca_garbage_collected_total") == before and gateway.metric("arca_repairs_pending") == 0


@pytest.mark.timeout(3000)
def test_killed_at_random_points(place, tmp_path, request):
    """Over several backends the MinIO dies with arcad in some rounds, and in others stays dead for a round."""
    rounds = max(1, round(request.config.getoption("--rounds") * place.part))
    rng = random.Random(rounds)
    gateway = place.gateway(tmp_path / "arca").start()
    gateway.boto3().create_bucket(Bucket=BUCKET)
    load = Load(gateway, seed=rounds)
    for round_number in range(rounds):
        load.start()
        time.sleep(rng.uniform(0.02, 0.5))  # the point of the kill is what the test is about
        gateway.kill()
        load.join()
        if place.minio is not None and round_number % 5 < 2:
            place.minio.kill()
            if round_number % 5 == 1:
                place.minio.start()
        gateway.start()
        load.verify(everything=round_number % 25 == 0)
    if place.minio is not None and place.minio.process is None:
        place.minio.start()
    load.verify(everything=True)
    assert load.operations > rounds, f"{load.operations} operations in {rounds} rounds: hardly a load"
    gateway.stop()
    converge(gateway)
    place.assert_clean(gateway)


@pytest.mark.timeout(3000)
def test_power_loss(place, tmp_path, request):
    """Everything that was not synced when the power went may be there, cut, or zero, and the view is torn or gone."""
    rounds = max(1, round(request.config.getoption("--rounds") * place.part) // 8)
    rng = random.Random(rounds)
    power = PowerLoss(tmp_path / "power")
    gateway = place.gateway(tmp_path / "arca", wrapper=power.wrapper())
    gateway.start(env=power.boot())
    gateway.boto3().create_bucket(Bucket=BUCKET)
    load = Load(gateway, seed=rounds + 1)
    lost = round_number = 0
    while round_number < rounds or (lost == 0 and rounds >= 5 and round_number < 8 * rounds):
        load.start()
        time.sleep(rng.uniform(0.05, 0.8))
        gateway.kill()
        load.join()
        lost += power.lose_unsynced(rng)
        view = gateway.folder / "index" / "view"
        if round_number % 3 == 0:
            shutil.rmtree(view)
        elif round_number % 3 == 1:
            for path in view.iterdir():
                if path.stat().st_size:
                    os.truncate(path, rng.randrange(path.stat().st_size))
        gateway.start(env=power.boot())
        load.verify(everything=round_number % 10 == 0)
        round_number += 1
    load.verify(everything=True)
    assert rounds < 5 or lost > 0, "no write was ever unsynced: the test shows nothing"
    gateway.stop()
    gateway.wrapper = []
    converge(gateway)
    place.assert_clean(gateway)


def test_no_acknowledgement_before_both_syncs(tmp_path):
    """From a trace of the system calls: data synced, then the journal, then the answer."""
    trace = tmp_path / "trace"
    gateway = Arca(tmp_path / "arca", loops=1, wrapper=[
        "strace", "-f", "-y", "-qq", "-s", "20", "-o", str(trace),
        "-e", "trace=pwrite64,pwritev,pwritev2,write,writev,sendmsg,sendto,fdatasync,fsync"])
    gateway.start(env={"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"})
    wait_until(lambda: gateway.metric("arca_job_state", job="scrub") == IDLE, what="the background work has noted its begin")
    begin = trace.stat().st_size
    s3 = gateway.boto3()
    s3.create_bucket(Bucket=BUCKET)
    for i in range(20):
        s3.put_object(Bucket=BUCKET, Key=f"k{i}", Body=os.urandom(5000))
    # A SIGTERM to strace would detach it; the daemon is its child.
    children = subprocess.run(["pgrep", "-P", str(gateway.process.pid)], capture_output=True, text=True).stdout.split()
    subprocess.run(["kill", *children], check=True)
    gateway.process.wait(60)
    gateway.process = None
    puts = _assert_order(trace.read_bytes()[begin:].decode(errors="replace"))
    assert puts >= 20


CALL = re.compile(r"^(\d+) +(\w+)\(\d+<([^>]*)>(.*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>")


def _assert_order(text):
    """Walks the trace: unsynced writes by kind; an answer of 200 that follows writes needs all of them synced, journal last."""
    dirty = {"objects": False, "journal": False}
    last_synced = None
    wrote = False
    pending = {}
    answers = 0

    def kind_of(path):
        return "objects" if "/objects/segments/" in path else "journal" if "/index/journal/" in path else None

    def finished(call, path):
        nonlocal last_synced
        kind = kind_of(path)
        if kind and call in ("fdatasync", "fsync"):
            dirty[kind] = False
            last_synced = kind

    for line in text.splitlines():
        resumed = RESUMED.match(line)
        if resumed:
            if resumed[1] in pending:
                finished(resumed[2], pending.pop(resumed[1]))
            continue
        call = CALL.match(line)
        if not call:
            continue
        thread, name, path, rest = call.groups()
        kind = kind_of(path)
        if kind and name.startswith("pwrite"):
            dirty[kind] = wrote = True
        elif name in ("fdatasync", "fsync"):
            if "<unfinished" in rest:
                pending[thread] = path
            else:
                finished(name, path)
        elif '"HTTP/1.1 200' in rest and wrote:
            assert not dirty["objects"] and not dirty["journal"], f"answered before a sync: {line}"
            assert last_synced == "journal", f"the journal was not the last to be synced: {line}"
            answers += 1
            wrote = False
    return answers
