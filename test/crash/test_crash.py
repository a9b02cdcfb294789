"""A 200 means durable: arcad is killed at random points under a mixed load, and the machine loses its power."""
import os
import random
import re
import shutil
import subprocess
import time

import pytest

from arca import Arca, arcactl, wait_until
from load import BUCKET, Load
from powerloss import PowerLoss


def assert_clean(gateway):
    """Stopped, and nothing is missing, orphaned or damaged."""
    check = arcactl("check", "--config", gateway.config_path, "--deep", check=False)
    assert check.returncode == 0, check.stdout[-4000:] + check.stderr[-2000:]


def collect_garbage(gateway):
    """Runs until the garbage of all rounds is gone, then stops."""
    gateway.start()
    wait_until(lambda: _no_garbage(gateway), 90, "garbage is collected")
    gateway.stop()


def _no_garbage(gateway):
    before = gateway.metric("arca_garbage_collected_total")
    time.sleep(3)  # the collector's own pace; what matters is that a whole pass finds nothing
    return gateway.metric("arca_garbage_collected_total") == before


@pytest.mark.timeout(3000)
def test_killed_at_random_points(tmp_path, request):
    rounds = request.config.getoption("--rounds")
    rng = random.Random(rounds)
    gateway = Arca(tmp_path, garbage_grace="1s").start()
    gateway.boto3().create_bucket(Bucket=BUCKET)
    load = Load(gateway, seed=rounds)
    for round_number in range(rounds):
        load.start()
        time.sleep(rng.uniform(0.02, 0.5))  # the point of the kill is what the test is about
        gateway.kill()
        load.join()
        gateway.start()
        load.verify(everything=round_number % 25 == 0)
    load.verify(everything=True)
    assert load.operations > rounds, f"{load.operations} operations in {rounds} rounds: hardly a load"
    gateway.stop()
    collect_garbage(gateway)
    assert_clean(gateway)


@pytest.mark.timeout(3000)
def test_power_loss(tmp_path, request):
    """Everything that was not synced when the power went may be there, cut, or zero, and the view is torn or gone."""
    rounds = max(1, request.config.getoption("--rounds") // 8)
    rng = random.Random(rounds)
    power = PowerLoss(tmp_path / "power")
    gateway = Arca(tmp_path / "arca", garbage_grace="1s", extra="", wrapper=power.wrapper())
    gateway.start(env=power.boot())
    gateway.boto3().create_bucket(Bucket=BUCKET)
    load = Load(gateway, seed=rounds + 1)
    lost = 0
    for round_number in range(rounds):
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
    load.verify(everything=True)
    assert lost > 0, "no write was ever unsynced: the test shows nothing"
    gateway.stop()
    gateway.wrapper = []
    collect_garbage(gateway)
    assert_clean(gateway)


def test_no_acknowledgement_before_both_syncs(tmp_path):
    """From a trace of the system calls: data synced, then the journal, then the answer."""
    trace = tmp_path / "trace"
    gateway = Arca(tmp_path / "arca", loops=1, wrapper=[
        "strace", "-f", "-y", "-qq", "-s", "20", "-o", str(trace),
        "-e", "trace=pwrite64,pwritev,pwritev2,write,writev,sendmsg,sendto,fdatasync,fsync"])
    gateway.start(env={"ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0"})
    s3 = gateway.boto3()
    s3.create_bucket(Bucket=BUCKET)
    for i in range(20):
        s3.put_object(Bucket=BUCKET, Key=f"k{i}", Body=os.urandom(5000))
    # A SIGTERM to strace would detach it; the daemon is its child.
    children = subprocess.run(["pgrep", "-P", str(gateway.process.pid)], capture_output=True, text=True).stdout.split()
    subprocess.run(["kill", *children], check=True)
    gateway.process.wait(60)
    gateway.process = None
    puts = _assert_order(trace.read_text(errors="replace"))
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
