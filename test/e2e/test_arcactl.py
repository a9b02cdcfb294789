"""arcactl finds what is missing, orphaned and damaged, and tells its findings from trouble."""
import json
import os
import shutil

import pytest

from arca import Arca, arcactl


@pytest.fixture
def stopped(tmp_path):
    """A gateway with a few objects, stopped."""
    gateway = Arca(tmp_path).start()
    s3 = gateway.boto3()
    s3.create_bucket(Bucket="checked")
    for i, size in enumerate((1, 70_000, 9_000_000)):
        s3.put_object(Bucket="checked", Key=f"k{i}", Body=os.urandom(size))
    gateway.stop()
    return gateway


def check(gateway, *args):
    return arcactl("check", "--config", gateway.config_path, *args, check=False)


def segments(gateway):
    return sorted((gateway.folder / "objects").rglob("*.seg"))


def test_in_order(stopped):
    for args in ((), ("--deep",)):
        done = check(stopped, *args)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ": 0 findings" in done.stdout


def test_a_flipped_bit_is_damage(stopped):
    with open(segments(stopped)[0], "r+b") as segment:
        segment.seek(2_000_000)
        byte = segment.read(1)[0]
        segment.seek(2_000_000)
        segment.write(bytes([byte ^ 1]))
    done = check(stopped, "--deep")
    assert done.returncode == 1 and done.stdout.count("damaged:") == 1, done.stdout + done.stderr


def test_lost_data_is_missing(stopped):
    for segment in segments(stopped):
        segment.unlink()
    done = check(stopped)
    assert done.returncode == 1 and done.stdout.count("missing:") == 4, done.stdout + done.stderr


def test_what_the_index_does_not_name_is_orphaned(stopped):
    shutil.rmtree(stopped.folder / "index")
    (stopped.folder / "index").mkdir()
    done = check(stopped)
    assert done.returncode == 1 and done.stdout.count("orphaned:") == 4, done.stdout + done.stderr


def test_trouble_is_no_finding(stopped, tmp_path):
    key = stopped.folder / "keyring.key"
    key.write_bytes(os.urandom(32))
    done = check(stopped, "--deep")
    assert done.returncode == 2 and "keyring" in done.stderr
    shutil.rmtree(stopped.folder / "index")
    done = check(stopped)
    assert done.returncode == 2 and not (stopped.folder / "index").exists()
    assert arcactl("check", check=False).returncode == 2
    assert arcactl("nonsense", check=False).returncode == 2


def test_a_running_gateway_is_left_alone(tmp_path):
    gateway = Arca(tmp_path).start()
    done = check(gateway)
    assert done.returncode == 2 and "stop arcad first" in done.stderr
    gateway.boto3().list_buckets()
    gateway.stop()


def test_a_keyring_is_never_overwritten(stopped):
    ring, key = stopped.folder / "keyring", stopped.folder / "keyring.key"
    before = ring.read_bytes()
    done = arcactl("keyring", "create", ring, "--key-file", key, check=False)
    assert done.returncode == 2 and "exists" in done.stderr and ring.read_bytes() == before
    shown = arcactl("keyring", "show", ring, "--key-file", key).stdout
    assert "id " in shown and key.read_bytes().hex() not in shown


def test_the_journal_as_json(stopped):
    lines = arcactl("journal", "dump", "--index", stopped.folder / "index", "--json").stdout.splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["sequence"] for r in records] == list(range(records[0]["sequence"], records[0]["sequence"] + len(records)))
    puts = [r["put_object"] for r in records if r["operation"] == "put_object"]
    assert [p["key"] for p in puts] == ["k0", "k1", "k2"]
    assert puts[2]["object"]["size"] == 9_000_000


def test_config_check(stopped):
    assert arcactl("config", "check", stopped.config_path).returncode == 0
    stopped.config_path.write_text(stopped.config_path.read_text().replace("region:", "regoin:"))
    done = arcactl("config", "check", stopped.config_path, check=False)
    assert done.returncode == 1 and "did you mean 'region'?" in done.stderr
