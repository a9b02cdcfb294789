"""A 2 GiB file through s3cmd and rclone; the gateway's memory stays bounded."""
import hashlib
import subprocess

import pytest

from arca import Arca
from datasets import big_file

GIB = 1 << 30


def peak_rss_mib(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise AssertionError("no VmHWM")


def md5(path):
    return subprocess.run(["md5sum", path], check=True, capture_output=True, text=True).stdout.split()[0]


@pytest.mark.timeout(1800)
def test_two_gibibytes(tmp_path):
    source = big_file(tmp_path / "two.bin", 2 * GIB)
    gateway = Arca(tmp_path / "arca", limits={"body_memory": "64MiB"}).start()
    try:
        gateway.s3cmd("mb", "s3://large")
        gateway.s3cmd("put", "--multipart-chunk-size-mb=64", source, "s3://large/two.bin", timeout=900)
        gateway.rclone("copyto", "arca:large/two.bin", tmp_path / "back.bin", "--multi-thread-streams=4", timeout=900)
        assert md5(tmp_path / "back.bin") == md5(source)
        (tmp_path / "back.bin").unlink()
        got = gateway.boto3().get_object(Bucket="large", Key="two.bin")
        digest = hashlib.md5()
        for chunk in got["Body"].iter_chunks(1 << 20):
            digest.update(chunk)
        assert digest.hexdigest() == md5(source)
        # AddressSanitizer's shadow and quarantine come on top of the 64 MiB of bodies.
        assert peak_rss_mib(gateway.process.pid) < 700
    finally:
        gateway.stop()
