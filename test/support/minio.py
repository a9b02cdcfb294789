"""Starts a real MinIO (built by build-minio, or one on the PATH) as a store behind the gateway."""
import os
import pathlib
import shutil
import signal
import subprocess
import urllib.request

import pytest

from arca import _started, free_port, wait_until
from programs import SOURCE

USER, PASSWORD = "minio-of-tests", "minio-secret-of-tests"


def program():
    built = SOURCE / "build" / "tools" / "bin" / "minio"
    return str(built) if built.exists() else shutil.which("minio")


class Minio:
    """One server over a folder. `settings` is a backend of the gateway's configuration."""

    def __init__(self, folder, bucket="arca"):
        if program() is None:
            pytest.skip("MinIO is not installed here: test/support/build-minio builds it")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bucket = bucket
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.keys = self.folder / "keys"
        self.keys.write_text(f"access_key_id: {USER}\nsecret_access_key: {PASSWORD}\n")
        self.keys.chmod(0o600)
        self.process = None

    def start(self):
        env = dict(os.environ, MINIO_ROOT_USER=USER, MINIO_ROOT_PASSWORD=PASSWORD, MINIO_BROWSER="off", MINIO_UPDATE="off")
        with open(self.folder / "minio.log", "ab") as log:
            self.process = subprocess.Popen(
                [program(), "server", "--address", f"127.0.0.1:{self.port}", str(self.folder / "data")],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        _started.append(self.process)
        wait_until(self._ready, what="MinIO is ready")
        client = self.boto3()
        if self.bucket not in [b["Name"] for b in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=self.bucket)
        return self

    def _ready(self):
        assert self.process.poll() is None, (self.folder / "minio.log").read_text()
        try:
            with urllib.request.urlopen(f"{self.endpoint}/minio/health/ready", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def boto3(self):
        import boto3
        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id=USER, aws_secret_access_key=PASSWORD,
                            region_name="us-east-1")

    def keys_of(self, prefix=""):
        pages = self.boto3().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, key):
        return self.boto3().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def settings(self, name, **more):
        return {"name": name, "driver": "s3", "endpoint": self.endpoint, "bucket": self.bucket,
                "credentials": {"file": str(self.keys)}, **more}
