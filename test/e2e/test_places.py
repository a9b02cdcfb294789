"""A backend that is not where its data are: a new provider or a disk that was not mounted, under the name of the old one.
It is found out at a start and at a SIGHUP, before anything is written to it."""
import random
import re
import shutil
import time

import pytest

from arca import killed_at_the_end, wait_until
from test_placement_change import Site, disk, placement

REFUSED = re.compile(r"backends: backend (\w+) is another place, or was emptied: it is to have (\d+) replicas, of (\d+) "
                     r"extents the only one, and has none of the (\d+) that were looked for\. .*--accept-lost (\w+)")


class Mistaken(Site):
    def start_refused(self):
        """Backend, its replicas, those that only it has, those looked for."""
        before = len(self.gateway.log_events("start"))
        self.gateway.start(wait=False)
        assert self.gateway.process.wait(60) == 1, self.gateway.log_tail()
        lines = self.gateway.log_events("start")[before:]
        found = REFUSED.fullmatch(lines[-1]["message"])
        assert len(lines) == 1 and found and found[5] == found[1], lines
        return found[1], int(found[2]), int(found[3]), int(found[4])

    def start_with(self, *arguments):
        self.gateway.start(arguments=arguments)
        self.s3 = self.gateway.boto3()

    def messages(self, event):
        return [line["message"] for line in self.gateway.log_events(event)]

    def path(self, name):
        return self.gateway.folder / name


@pytest.fixture
def site(tmp_path):
    with killed_at_the_end(Mistaken, tmp_path / "arca") as make:
        yield make


def test_a_disk_that_is_elsewhere(site):
    """Refused at a start; with the old path, or the data at the new one, all is there again."""
    one = site([disk("local")], [placement("local")]).create()
    one.put(20)
    one.put(1, "big", [20 << 20])
    one.gateway.stop()
    elsewhere = {**disk("local"), "path": "elsewhere"}
    one.edit([elsewhere], [placement("local")])
    for _ in range(2):
        assert one.start_refused() == ("local", 23, 23, 16)
    one.edit([disk("local")], [placement("local")])
    one.start()
    one.read_all()
    one.put(3, "more")
    one.gateway.stop()
    shutil.rmtree(one.path("elsewhere"))
    one.path("local").rename(one.path("elsewhere"))
    one.edit([elsewhere], [placement("local")])
    one.start()
    one.read_all()
    assert one.check() == 26


def test_two_disks_that_were_mixed_up(site):
    """Each holds what the other is to have: all of one, half of the other."""
    disks, placements = [disk("a"), disk("b")], [placement("a"), placement("b", name="second")]
    one = site(disks, placements).create()
    one.s3.create_bucket(Bucket="other", CreateBucketConfiguration={"LocationConstraint": "second"})
    one.put(30)
    one.put(15, bucket="other")
    one.gateway.stop()
    one.edit([{**disk("a"), "path": "b"}, {**disk("b"), "path": "a"}], placements)
    assert one.start_refused() == ("a", 30, 30, 16)
    one.edit(disks, placements)
    one.start()
    one.read_all()
    one.gateway.stop()


def test_another_folder_at_a_sighup(site):
    """The same folder under another path is followed, while clients are served; a copy of it is not, since what came after
    it was made would be lost."""
    one = site([disk("local")], [placement("local")]).create()
    one.put(10)

    def at(path):
        return [{**disk("local"), "path": path}], [placement("local")]
    one.path("local").rename(one.path("renamed"))
    one.follow(*at("renamed"))
    one.put(5, "renamed")
    one.path("linked").symlink_to("renamed")
    one.follow(*at("linked"))
    one.put(5, "linked")
    one.read_all()
    shutil.copytree(one.path("renamed"), one.path("copy"))
    for path in ["copy", "empty"]:
        assert one.refused(*at(path), at_start=False) == (
            "backend local has 20 replicas and would be elsewhere (in another folder): give a new place a name of its own, and "
            "let the placement change to it")
    one.put(5, "after")
    one.read_all()
    assert one.check() == 25
    one.start()
    one.read_all()


def test_another_store_under_the_old_name(site, minio, tmp_path):
    """A store under another address is the same; another prefix, bucket, or driver is not."""
    prefix = f"{tmp_path.name}/one"
    settings = minio.settings("store", prefix=prefix)
    one = site([settings], [placement("store")]).create()
    one.put(12)

    def refused(backend):
        return one.refused([backend], [placement("store")], at_start=False)
    named = {**settings, "endpoint": settings["endpoint"].replace("127.0.0.1", "localhost")}
    one.follow([named], [placement("store")])
    one.put(3, "named")
    one.read_all()
    assert "it has the 12 replicas looked for" in one.messages("backend_moved")[0]
    other = {**named, "prefix": f"{tmp_path.name}/two"}
    assert "would be elsewhere (of 15 replicas looked for 15 are not there)" in refused(other)
    key, = random.Random(1).sample(minio.keys_of(prefix), 1)
    body = minio.read(key)
    minio.boto3().delete_object(Bucket=minio.bucket, Key=key)
    one.edit([settings], [placement("store")])
    assert "would be elsewhere (of 15 replicas looked for 1 are not there)" in one.reload()["message"]
    minio.write(key, body)
    unreachable = {**named, "endpoint": "http://127.0.0.1:1"}
    assert "would be elsewhere (it cannot be told what is there: " in refused(unreachable)
    assert "would be elsewhere (in another folder)" in refused(disk("store"))
    one.gateway.stop()
    for backend in [other, disk("store")]:
        one.edit([backend], [placement("store")])
        assert one.start_refused() == ("store", 15, 15, 15)
    one.edit([named], [placement("store")])
    one.start()
    one.read_all()
    assert one.check() == 15


def test_a_store_that_does_not_answer_holds_nothing_up(site, minio):
    one = site([disk("local"), minio.settings("minio", timeout="60s")], [placement("local", "minio")]).create()
    one.put(10)
    wait_until(lambda: one.gateway.metric("arca_repairs_pending") == 0, what="both have all")
    one.gateway.stop()
    for end, again in [(minio.freeze, minio.thaw), (minio.kill, minio.start)]:
        before = len(one.messages("backend_place"))
        end()
        began = time.monotonic()
        one.start()
        assert time.monotonic() - began < 20
        assert "backend minio: it cannot be told" in one.messages("backend_place")[before]
        one.read_all()
        one.gateway.stop()
        again()


def test_an_empty_disk_among_two(site):
    """What it had is on the other one: it is told aloud, and healed."""
    disks = [disk("a"), disk("b")]
    one = site(disks, [placement("a", "b", quorum=2)]).create()
    one.put(20)
    one.gateway.stop()
    shutil.rmtree(one.path("a"))
    with open(one.gateway.config_path, "a") as config:
        config.write("scrub: {rate: 1GiB, operations: 10000, interval: 1s}\n")
    one.start()
    assert one.messages("backend_emptied") == [
        "backend a is another place, or was emptied: it has none of the 16 replicas that were looked for, and is used as it is. "
        "It was to have 20; all are elsewhere too: scrub and repair bring them back"]
    one.read_all()
    wait_until(lambda: one.gateway.metric("arca_repairs_total") >= 20 and one.gateway.metric("arca_repairs_pending") == 0,
               what="it is healed")
    assert one.check() == 40
    one.start()
    assert len(one.messages("backend_emptied")) == 1
    one.gateway.stop()
    for name in "ab":
        shutil.rmtree(one.path(name))
    assert one.start_refused() == ("a", 20, 20, 16)


def test_what_is_lost_for_good(site):
    """It has to be said, once: what is stored there afterwards is proof enough."""
    one = site([disk("a"), disk("b")], [placement("a"), placement("b", name="second")]).create()
    one.s3.create_bucket(Bucket="other", CreateBucketConfiguration={"LocationConstraint": "second"})
    one.put(20)
    one.put(5, bucket="other")
    one.gateway.stop()
    shutil.rmtree(one.path("a"))
    assert one.start_refused() == ("a", 20, 20, 16)
    one.start_with("--accept-lost", "a")
    assert one.messages("backend_lost") == ["backend a: 20 extents are lost"]
    one.bodies = {key: body for key, body in one.bodies.items() if key[0] == "other"}
    one.read_all()
    with pytest.raises(one.s3.exceptions.ClientError):
        one.s3.get_object(Bucket="clinic", Key="0")["Body"].read()
    one.put(1, "new")
    one.gateway.stop()
    one.start()
    one.put(2, "newer")
    one.read_all()
    one.gateway.stop()
    one.start_with("--accept-lost", "a", "--accept-lost", "b")  # it is not taken at its word
    assert {f"backend {name}: nothing of it is given up" for name in "ab"} <= set(one.messages("backend_place"))
    one.read_all()
    one.gateway.stop()
    one.gateway.start(wait=False, arguments=["--accept-lost", "nobody"])
    assert one.gateway.process.wait(60) == 1
    assert "--accept-lost nobody: the configuration has no such backend" in one.messages("start")[-1]
