"""Starts a real MinIO (built by build-minio, or one on the PATH) as a store behind the gateway."""
import os
import pathlib
import shutil
import subprocess
import urllib.request

import pytest

from arca import _started, free_port, wait_until
from programs import SOURCE
from store import S3Store

USER, PASSWORD = "minio-of-tests", "minio-secret-of-tests"


def program():
    built = SOURCE / "build" / "tools" / "bin" / "minio"
    return str(built) if built.exists() else shutil.which("minio")


class Minio(S3Store):
    """One server over a folder. `settings` is a backend of the gateway's configuration; `wrapper` goes before its command."""

    access = (USER, PASSWORD)

    def __init__(self, folder, bucket="arca", wrapper=()):
        if program() is None:
            pytest.skip("MinIO is not installed here: test/support/build-minio builds it")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.bucket = bucket
        self.wrapper = list(wrapper)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.keys = self.folder / "keys"
        self.write_keys()

    def start(self):
        env = dict(os.environ, MINIO_ROOT_USER=USER, MINIO_ROOT_PASSWORD=PASSWORD, MINIO_BROWSER="off", MINIO_UPDATE="off")
        with open(self.folder / "minio.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, program(), "server", "--address", f"127.0.0.1:{self.port}", str(self.data)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        _started.append(self.process)
        wait_until(self._ready, what="MinIO is ready")
        self.make_bucket()
        return self

    def _ready(self):
        assert self.process.poll() is None, (self.folder / "minio.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.endpoint}/minio/health/ready", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False
