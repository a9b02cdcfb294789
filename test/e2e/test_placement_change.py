"""Changing provider while clients work: the config is edited, SIGHUP, and in the end the old backend is empty. Nobody
notices but for the restarts of arcad itself, which is killed in the middle of it."""
import base64
import hashlib
import json
import random
import re
import subprocess
import threading
import time

import pytest

from arca import Arca, arcactl, killed_at_the_end, wait_until
from datasets import big_file, mixed_folder
from stored import RECORD_HEADER, opened

KILLS = 5


def repair(operations):
    """How fast a change goes: slow ones can be met in the middle."""
    return f"repair: {{rate: 1GiB, operations: {operations}}}\n"




def disk(name):
    return {"name": name, "driver": "disk", "path": name, "segment_size": "16MiB"}


def placement(*backends, quorum=1, name="default", **more):
    return {"name": name, "backends": list(backends), "write_quorum": quorum, **more}


class Site:
    """A gateway whose backends and placements are edited, and what was stored in it."""

    def __init__(self, folder, backends, placements, operations=10000, **options):
        self.gateway = Arca(folder, backends=backends, placements=placements, garbage_grace="1s",
                            extra=repair(operations), **options)
        self.bodies = {}

    def start(self):
        self.gateway.start()
        self.s3 = self.gateway.boto3()
        return self

    def create(self):
        self.start()
        self.s3.create_bucket(Bucket="clinic")
        return self

    def put(self, count, prefix="", sizes=(1, 4096, 70_000, 1 << 20), bucket="clinic"):
        for i in range(count):
            body = random.Random(f"{prefix}{i}").randbytes(sizes[i % len(sizes)])
            self.s3.put_object(Bucket=bucket, Key=f"{prefix}{i}", Body=body)
            self.bodies[bucket, f"{prefix}{i}"] = body

    def read_all(self):
        for (bucket, key), body in self.bodies.items():
            assert self.s3.get_object(Bucket=bucket, Key=key)["Body"].read() == body, key

    def edit(self, backends, placements, default=None):
        lines = self.gateway.config_path.read_text().splitlines()
        for i, line in enumerate(lines):
            if line.startswith("backends:"):
                lines[i] = f"backends: {json.dumps(backends)}"
            elif line.startswith("placements:"):
                lines[i] = f"placements: {json.dumps(placements)}"
        lines = [line for line in lines if not line.startswith("default_placement:")]
        lines += [f"default_placement: {default}"] if default is not None else []
        self.gateway.config_path.write_text("\n".join(lines) + "\n")

    def reload(self):
        """The last log line of it."""
        before = len(self.gateway.log_events("reload"))
        self.gateway.reload()
        return wait_until(lambda: self.gateway.log_events("reload")[before:], what="the reload")[-1]

    def follow(self, backends, placements, default=None):
        self.edit(backends, placements, default)
        assert self.reload()["level"] == "info", self.gateway.log_tail()

    def refused(self, backends, placements, at_start=True):
        """Why, as a SIGHUP tells it, and (the same) a start; then the config is what it was before."""
        before = self.gateway.config_path.read_text()
        self.edit(backends, placements)
        line = self.reload()
        assert line["level"] == "error" and line["message"].startswith("nothing is changed: ")
        why = line["message"].removeprefix("nothing is changed: ")
        self.read_all()
        if at_start:
            self.gateway.stop()
            self.gateway.start(wait=False)
            assert self.gateway.process.wait(60) == 1
            assert self.gateway.log_events("start")[-1]["message"] == f"placements: {why}"
        self.gateway.config_path.write_text(before)
        if at_start:
            self.start()
            self.read_all()
        return why

    def ask(self, *command):
        answer = wait_until(lambda: arcactl(*command, "--config", self.gateway.config_path, "--json", check=False).stdout,
                            what="background work has begun")
        return [json.loads(line) for line in answer.splitlines()]

    def job(self, name="placement default"):
        return next((job for job in self.ask("jobs") if job["name"] == name), None)

    def placement(self, name="default"):
        """Its members' roles."""
        return {member["backend"]: member["role"] for one in self.ask("placement", "show") if one["name"] == name
                for member in one["members"]}

    def wait_changed(self, *members):
        try:
            wait_until(lambda: self.placement() == {name: "member" for name in members}, what="the change")
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.placement()}\n{self.job()}\n{self.gateway.log_tail(3000)}") from None

    def wait_step(self, *steps):
        wait_until(lambda: (job := self.job()) is not None and job["step"] in steps, what=f"step {steps}")

    def check(self):
        """Stopped: every extent on every backend of its placement, all of it verified, and nothing else on any. How many."""
        self.gateway.stop()
        done = arcactl("check", "--config", self.gateway.config_path, "--deep", check=False)
        assert done.returncode == 0 and "lack replicas" not in done.stdout, done.stdout + done.stderr
        return int(re.search(r"^(\d+) extents in the index", done.stdout, re.M)[1])


@pytest.fixture
def site(tmp_path):
    with killed_at_the_end(Site, tmp_path / "arca") as make:
        yield make


def live_records(folder):
    """In the segments of a disk: those that were not removed."""
    count = 0
    for file in opened((folder / "segments").glob("*.seg")):
        data = file.read()
        count += sum(data[at.start() + 40:at.start() + RECORD_HEADER] == bytes(8) for at in re.finditer(rb"\xa7REC", data))
    return count


def test_disk_to_disk(site):
    one = site([disk("old"), disk("stays")], [placement("old", "stays", quorum=2)]).create()
    one.put(60)
    one.put(1, "big", [20 << 20])
    one.follow([disk("old"), disk("stays"), disk("new")], [placement("stays", "new", quorum=2)])
    one.put(20, "while")
    one.wait_changed("stays", "new")
    one.read_all()
    assert live_records(one.gateway.folder / "old") == 0
    one.follow([disk("stays"), disk("new")], [placement("stays", "new", quorum=2)])
    one.read_all()
    assert one.check() == 2 * (80 + 3)
    one.start()
    one.read_all()


def test_what_is_still_needed_is_not_dropped(site):
    """With how much of it there is, at a SIGHUP and at a start; and nothing is changed."""
    one = site([disk("old"), disk("cold")], [placement("old"), placement("cold", name="archive")]).create()
    one.put(12)
    one.put(1, "big", [20 << 20])
    one.s3.create_bucket(Bucket="attic", CreateBucketConfiguration={"LocationConstraint": "archive"})
    both = [placement("new"), placement("cold", name="archive")]
    assert one.refused([disk("new"), disk("cold")], both) == (
        "backend old still has the only replica of 15 extents: keep it in the configuration until `arcactl jobs` shows the "
        "change as done")
    assert one.placement() == {"old": "member"}
    assert one.refused([disk("old")], [placement("old")]) == (
        "placement archive is that of 1 buckets (attic): keep it in the configuration")
    one.s3.delete_bucket(Bucket="attic")
    one.follow([disk("old")], [placement("old")])
    moved = {**disk("old"), "path": "elsewhere"}
    assert "backend old has 15 replicas and would be elsewhere" in one.refused([moved], [placement("old")], at_start=False)
    assert one.refused([disk("old")], [placement("old", name="other")], at_start=False) == (
        "placement default is that of 1 buckets (clinic): keep it in the configuration")
    one.follow([disk("old"), disk("new")], [placement("old", "new")])
    one.wait_changed("old", "new")
    one.follow([disk("new")], [placement("new")])  # all is elsewhere: what is left behind is given up
    one.wait_changed("new")
    one.read_all()
    assert one.check() == 15


def test_default_placement_follows(site):
    """Also when the placement that was the default is dropped with the same SIGHUP."""
    one = site([disk("old"), disk("new")], [placement("old"), placement("new", name="next")]).create()

    def replicas():
        return {m["backend"]: m["replicas"] for p in one.ask("placement", "show") for m in p["members"]}

    one.put(1, sizes=[100])
    one.follow([disk("old"), disk("new")], [placement("old"), placement("new", name="next")], default="next")
    assert not any("default_placement" in line["message"] for line in one.gateway.log_events("reload"))
    one.s3.create_bucket(Bucket="second")
    one.put(1, sizes=[100], bucket="second")
    assert replicas() == {"old": 1, "new": 1}
    one.follow([disk("old"), disk("new")], [placement("old"), placement("new", name="next")])  # the one named default
    one.s3.create_bucket(Bucket="third")
    one.put(1, sizes=[100], bucket="third")
    assert replicas() == {"old": 2, "new": 1}
    for bucket in ["clinic", "third"]:
        one.s3.delete_object(Bucket=bucket, Key="0")
        one.s3.delete_bucket(Bucket=bucket)
        del one.bodies[bucket, "0"]
    wait_until(lambda: live_records(one.gateway.folder / "old") == 0, what="garbage")
    one.follow([disk("new")], [placement("new", name="next")])
    one.s3.create_bucket(Bucket="fourth")
    one.put(1, sizes=[100], bucket="fourth")
    one.read_all()
    assert one.check() == 2


def test_back_again_half_way(site):
    """Before and after the new backend was promoted."""
    backends = [disk("old"), disk("stays"), disk("new")]
    one = site(backends[:2], [placement("old", "stays", quorum=2)], operations=60).create()
    one.put(60, sizes=[100, 4096])
    for step in ["backfill", "verify"], ["drain"]:
        one.follow(backends, [placement("stays", "new", quorum=2)])
        one.wait_step(*step)
        one.put(5, step[0], sizes=[100])
        one.follow(backends, [placement("old", "stays", quorum=2)])
        assert one.placement().get("new", "gone") in ["draining", "leaving", "gone"]
        one.wait_changed("old", "stays")
        one.read_all()
    assert live_records(one.gateway.folder / "new") == 0
    one.follow(backends[:2], [placement("old", "stays", quorum=2)])
    assert one.check() == 2 * 70


def test_a_store_is_down_in_the_middle(site, minio):
    backends = [disk("old"), minio.settings("minio", timeout="2s")]
    one = site(backends[:1], [placement("old")], operations=20).create()
    one.put(50, sizes=[100, 4096])
    one.follow(backends, [placement("minio")])
    wait_until(lambda: len(minio.keys_of()) >= 10, what="the middle of it")
    minio.kill()
    wait_until(lambda: "backend minio" in one.job()["why"], what="the job waits")
    assert one.job()["state"] == "waiting"
    one.put(5, "while")
    one.read_all()
    one.gateway.kill()
    one.start()
    one.read_all()
    minio.start()
    one.wait_changed("minio")
    one.read_all()
    assert live_records(one.gateway.folder / "old") == 0
    one.follow(backends[1:], [placement("minio")])
    assert one.check() == len(minio.keys_of()) == 55


def test_copies_stay_where_their_bucket_is(site):
    """A copy to a bucket of another placement is stored there alone: its backends have the labels that it demands."""
    one = site([{**disk("here"), "jurisdiction": "DE"}, {**disk("there"), "jurisdiction": "US"}],
               [placement("here", required_labels={"jurisdiction": ["DE"]}), placement("there", name="abroad")]).create()
    one.s3.create_bucket(Bucket="abroad", CreateBucketConfiguration={"LocationConstraint": "abroad"})
    body, parts = random.Random(1).randbytes(100_000), [random.Random(i).randbytes(5 << 20) for i in range(2)]
    one.s3.put_object(Bucket="abroad", Key="small", Body=body, Metadata={"case": "7"}, ChecksumAlgorithm="SHA256")
    one.s3.put_object(Bucket="abroad", Key="empty", Body=b"")
    upload = one.s3.create_multipart_upload(Bucket="abroad", Key="parts")["UploadId"]
    etags = [one.s3.upload_part(Bucket="abroad", Key="parts", UploadId=upload, PartNumber=i + 1, Body=part)["ETag"]
             for i, part in enumerate(parts)]
    one.s3.complete_multipart_upload(Bucket="abroad", Key="parts", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": i + 1, "ETag": etag} for i, etag in enumerate(etags)]})
    one.s3.copy_object(Bucket="abroad", Key="near", CopySource="abroad/small")
    for key in ["small", "empty", "parts"]:
        one.s3.copy_object(Bucket="clinic", Key=key, CopySource=f"abroad/{key}")
    one.bodies = {("clinic", "small"): body, ("clinic", "empty"): b"", ("clinic", "parts"): b"".join(parts)}
    one.read_all()
    head = one.s3.head_object(Bucket="clinic", Key="small", ChecksumMode="ENABLED")
    assert head["Metadata"] == {"case": "7"}
    assert head["ETag"].strip('"') == hashlib.md5(body).hexdigest()
    assert head["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert one.s3.head_object(Bucket="clinic", Key="parts")["ETag"].strip('"') == hashlib.md5(b"".join(parts)).hexdigest()
    held = {m["backend"]: m["replicas"] for p in one.ask("placement", "show") for m in p["members"]}
    assert held == {"here": 3, "there": 3}  # 100 KB and an extent of 8 MiB and one more; 100 KB, which two share, and two parts
    for key in ["small", "near", "empty", "parts"]:
        one.s3.delete_object(Bucket="abroad", Key=key)
    wait_until(lambda: live_records(one.gateway.folder / "there") == 0, what="garbage")
    one.read_all()
    assert one.check() == live_records(one.gateway.folder / "here") == 3


class Traffic:
    """A client that works all the time. What fails while arcad is down is done again; what fails otherwise is an error."""

    def __init__(self, site, step):
        self.site, self.step = site, step
        self.steps, self.retried, self.errors = 0, 0, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                self.step(self.steps)
                self.steps += 1
            except (AssertionError, subprocess.TimeoutExpired) as error:
                if not self.site.was_down(began):
                    self.errors.append(error)
                    return
                self.retried += 1
                self.site.up.wait(60)

    def join(self):
        self.stopping.set()
        self.thread.join()
        if self.errors:
            raise self.errors[0]


class Restarted(Site):
    """Knows when it was down."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.up = threading.Event()
        self.last_up = 0.0

    def start(self):
        super().start()
        self.last_up = time.monotonic()
        self.up.set()
        return self

    def kill(self):
        self.up.clear()
        self.gateway.kill()

    def hurry(self):
        path = self.gateway.config_path
        path.write_text(re.sub("(?m)^repair:.*\n", repair(10000), path.read_text()))

    def was_down(self, since):
        return not self.up.is_set() or self.last_up > since


def rclone_traffic(site, folder):
    def step(i):
        source = folder / f"rclone{i}"
        mixed_folder(source, 6, seed=i)
        site.gateway.rclone("copy", source, f"arca:clinic/rclone/{i}", "--retries=1", "--low-level-retries=1")
        site.gateway.rclone("check", source, f"arca:clinic/rclone/{i}", "--download", "--retries=1", "--low-level-retries=1")
    return step


def s3cmd_traffic(site, folder):
    def step(i):
        source, target = folder / f"s3cmd{i}", folder / f"s3cmd{i}.back"
        source.write_bytes(random.Random(i).randbytes(40_000))
        site.gateway.s3cmd("put", source, f"s3://clinic/s3cmd/{i}")
        site.gateway.s3cmd("get", "--force", f"s3://clinic/s3cmd/{i}", target)
        assert source.read_bytes() == target.read_bytes()
        if i % 3 == 2:
            site.gateway.s3cmd("del", f"s3://clinic/s3cmd/{i - 1}", f"s3://clinic/s3cmd/{i}")
    return step


def test_provider_switch(tmp_path, minio, azurite):
    """A disk and a MinIO become that MinIO and an Azurite, under rclone and s3cmd, with arcad killed in the middle."""
    clients, rng = tmp_path / "clients", random.Random(5)
    clients.mkdir()
    stores = [minio.settings("minio", timeout="8s"), azurite.settings("azure", timeout="8s")]
    one = Restarted(tmp_path / "arca", [disk("old"), stores[0]], [placement("old", "minio", quorum=2)], operations=20)
    try:
        one.create()
        first = mixed_folder(tmp_path / "first", 150)
        big_file(first / "scan.bin", 20 << 20)
        one.gateway.rclone("copy", first, "arca:clinic/first", "--s3-upload-cutoff=6M", "--s3-chunk-size=6M")
        traffic = [Traffic(one, step(one, clients)) for step in (rclone_traffic, s3cmd_traffic)]
        one.follow([disk("old"), *stores], [placement("minio", "azure", quorum=2)])
        for i in range(KILLS):
            time.sleep(rng.uniform(0.2, 2.0))
            assert one.placement() != {"minio": "member", "azure": "member"}, "it was done before it was killed"
            one.kill()
            if i == KILLS - 1:
                one.hurry()
            one.start()
        one.wait_changed("minio", "azure")
        for client in traffic:
            wait_until(lambda: client.steps > 3 or client.errors, what="the clients' steps")
            client.join()
        assert [line for line in one.gateway.log_events("access") if line["status"] >= 500] == []
        assert live_records(one.gateway.folder / "old") == 0
        one.follow(stores, [placement("minio", "azure", quorum=2)])
        for _ in range(2):
            one.gateway.rclone("check", first, "arca:clinic/first", "--download")
            for folder in clients.glob("rclone*"):
                one.gateway.rclone("check", folder, f"arca:clinic/rclone/{folder.name.removeprefix('rclone')}", "--download")
            kept = one.check()
            one.start()
        assert len(minio.keys_of()) == len(azurite.keys_of()) == kept // 2
    finally:
        one.gateway.kill()
