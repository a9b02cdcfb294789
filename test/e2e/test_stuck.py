"""A disk that does not answer: the gateway ends all the same, and keeps what it told to be stored."""
import contextlib
import subprocess
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from arca import Arca, wait_until
from programs import SOURCE

DRAIN = 1
CANCEL_AND_CLOSE = 15  # CANCEL_MS, CLOSE_MS
EXIT_STUCK = 3
BODY = b"x" * 300_000


@pytest.mark.parametrize("folder", ["/segments/", "/journal/"])
def test_a_stop_ends_while_a_disk_hangs(tmp_path, folder):
    library = tmp_path / "slowsync.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", library,
                    SOURCE / "test" / "support" / "slowsync.c", "-ldl"], check=True)
    held, waiting = tmp_path / "held", tmp_path / "held.waiting"
    gateway = Arca(tmp_path / "arca", limits={"drain_timeout": f"{DRAIN}s"}, wrapper=["env", f"LD_PRELOAD={library}"])
    env = {"SLOWSYNC": str(held), "SLOWSYNC_FOLDER": folder, "ASAN_OPTIONS": "verify_asan_link_order=0"}
    gateway.start(env=env)
    s3 = gateway.boto3(read_timeout=60, retries={"max_attempts": 0})
    s3.create_bucket(Bucket="bucket")
    s3.put_object(Bucket="bucket", Key="stored", Body=BODY)
    held.touch()

    def put():
        with contextlib.suppress(ClientError, BotoCoreError):
            s3.put_object(Bucket="bucket", Key="stuck", Body=BODY)
    putting = threading.Thread(target=put)
    putting.start()
    wait_until(waiting.exists, what="the disk hangs")
    started = time.monotonic()
    gateway.process.terminate()
    assert gateway.process.wait(DRAIN + CANCEL_AND_CLOSE + 10) == EXIT_STUCK, gateway.log_tail()
    assert time.monotonic() - started > DRAIN
    assert gateway.log_events("stop"), gateway.log_tail()
    putting.join()
    held.unlink()
    gateway.start(env=env)
    assert s3.get_object(Bucket="bucket", Key="stored")["Body"].read() == BODY
    gateway.stop()
