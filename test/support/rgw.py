"""A real Ceph RGW (see ceph.py) as a store behind the gateway."""
import pathlib
import shutil

import pytest

import ceph
from arca import _started
from store import S3Store


class Rgw(S3Store):
    """`process` is the RADOS gateway; monitor and object store run on while it is killed or stands still."""

    access = ("ARCATESTACCESSKEY000", "secretofceph00000000")

    def __init__(self, folder, bucket="arca"):
        if not ceph.installed():
            pytest.skip("Ceph is not installed here: it is Debian's ceph-mon, ceph-osd and radosgw")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bucket = bucket
        self.keys = self.folder / "keys"
        self.write_keys()
        self.ceph = ceph.Ceph(self.folder / "cluster", *self.access)
        self.endpoint = self.ceph.endpoint

    @property
    def process(self):
        return self.ceph.gateway

    def _now_runs(self):
        _started.extend(self.ceph.servers.values())
        return self

    def start(self):
        """The first time makes the cluster; afterwards starts what does not run."""
        if not self.ceph.folder.exists():
            self.ceph.create()
            self.make_bucket()
        elif self.ceph.servers:
            self.ceph.start_gateway()
        else:
            self.ceph.start()
        return self._now_runs()

    def kill(self):
        self.ceph.kill_gateway()

    def end(self):
        """All of it."""
        self.ceph.kill()

    def save(self, folder):
        """A copy of all that is stored; it is stopped meanwhile."""
        self.ceph.stop()
        shutil.copytree(self.ceph.folder, folder, symlinks=True)
        self.start()

    def roll_back(self, folder):
        self.ceph.kill()
        shutil.rmtree(self.ceph.folder)
        shutil.copytree(folder, self.ceph.folder, symlinks=True)
        self.start()

    def fill(self):
        """Nothing more may be stored."""
        self._administer("quota", "set", "--quota-scope", "user", "--uid", "arca", "--max-size", "1")
        self._administer("quota", "enable", "--quota-scope", "user", "--uid", "arca")

    def make_room(self):
        self._administer("quota", "disable", "--quota-scope", "user", "--uid", "arca")

    def _administer(self, *words):
        self.ceph.run("radosgw-admin", *words)
