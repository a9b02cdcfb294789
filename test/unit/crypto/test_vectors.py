"""The decryptor that was written from crypto/FORMAT.md alone, on the vectors that the C code made."""
import hashlib
import json
import pathlib
import subprocess
import sys

import pytest

import arca_decrypt

TEST = pathlib.Path(__file__).resolve().parents[2]
VECTORS = json.loads((TEST / "vectors" / "envelope.json").read_text())
SUITES = {"aes-256-gcm": 1, "xchacha20-poly1305": 2, "aegis-256": 3}
READABLE = [e for e in VECTORS["extents"] if e["suite"] != "aegis-256"]  # no Python library has AEGIS-256


def name(extent):
    return f"{extent['suite']}-{extent['plain_size']}"


def pattern(size):
    return bytes((7 * i + i // 251 + 1) % 256 for i in range(size))


def keyring(vector):
    secret = bytes.fromhex(vector["secret"])
    kind = {"key file": "key_file", "passphrase": "passphrase"}[vector["unlock"]]
    return arca_decrypt.Keyring(bytes.fromhex(vector["file"]), **{kind: secret})


def bucket_key(vector):
    return keyring(vector).bucket_key(vector["bucket_key_id"], vector["generation"],
                                      bytes.fromhex(vector["wrapped_bucket_key"]))


@pytest.fixture(scope="module")
def key():
    return bucket_key(VECTORS["keyrings"][0])


def build(extent, key):
    """The stored bytes, made from the header by the document's rules."""
    header = arca_decrypt.parse_header(bytes.fromhex(extent["header"]))
    data_key = arca_decrypt.data_key(key, header)
    assert arca_decrypt.commitment(data_key, header.bytes[:160]) == header.commitment
    extent_key = arca_decrypt.extent_key(data_key, header.suite, header.blob_id, header.extent_number)
    stored, plain = bytearray(header.bytes), pattern(extent["plain_size"])
    for number, at in enumerate(range(0, len(plain), arca_decrypt.SEGMENT)):
        final = at + arca_decrypt.SEGMENT >= len(plain)
        nonce = arca_decrypt.segment_nonce(header.suite, number, final)
        stored += arca_decrypt.seal_segment(header.suite, extent_key, nonce, header.commitment,
                                            plain[at:at + arca_decrypt.SEGMENT])
    return bytes(stored)


@pytest.mark.parametrize("vector", VECTORS["keyrings"], ids=lambda v: v["unlock"])
def test_keyrings(vector):
    assert sorted(keyring(vector).root_keys) == [1, 2]
    assert len(bucket_key(vector)) == 32
    damaged = bytearray.fromhex(vector["file"])
    damaged[90] ^= 1
    with pytest.raises(arca_decrypt.Damaged):
        arca_decrypt.Keyring(bytes(damaged), key_file=b"", passphrase=b"")


def test_wrong_key_file():
    with pytest.raises(arca_decrypt.WrongKey):
        arca_decrypt.Keyring(bytes.fromhex(VECTORS["keyrings"][0]["file"]), key_file=bytes(32))


@pytest.mark.parametrize("extent", VECTORS["extents"], ids=name)
def test_headers(extent, key):
    header = arca_decrypt.parse_header(bytes.fromhex(extent["header"]))
    assert header.suite == SUITES[extent["suite"]]
    assert header.blob_id.hex() == extent["blob_id"]
    assert header.extent_number == extent["extent_number"]
    assert header.wrapped_key.hex() == extent["wrapped_data_key"]
    assert header.bucket_key_id == VECTORS["keyrings"][0]["bucket_key_id"]
    data_key = arca_decrypt.data_key(key, header)
    assert arca_decrypt.commitment(data_key, header.bytes[:160]) == header.commitment


@pytest.mark.parametrize("extent", READABLE, ids=name)
def test_extents(extent, key):
    stored = build(extent, key)
    assert hashlib.sha256(stored).hexdigest() == extent["stored_sha256"]
    assert len(stored) == extent["stored_size"]
    assert arca_decrypt.open_extent(stored, key) == pattern(extent["plain_size"])


@pytest.mark.parametrize("extent", [e for e in READABLE if "stored" in e], ids=name)
def test_changes_are_detected(extent, key):
    stored = bytes.fromhex(extent["stored"])
    for at in range(len(stored)):
        changed = bytearray(stored)
        changed[at] ^= 1
        with pytest.raises((arca_decrypt.Damaged, arca_decrypt.WrongKey, arca_decrypt.Unsupported)):
            arca_decrypt.open_extent(bytes(changed), key)
        with pytest.raises(arca_decrypt.Damaged):
            arca_decrypt.open_extent(stored[:at], key)
    with pytest.raises(arca_decrypt.Damaged):
        arca_decrypt.open_extent(stored + b"\0", key)


def test_program(tmp_path):
    vector, extent = VECTORS["keyrings"][0], next(e for e in READABLE if e["extent_number"] == 0)
    (tmp_path / "keyring").write_bytes(bytes.fromhex(vector["file"]))
    (tmp_path / "key").write_bytes(bytes.fromhex(vector["secret"]))
    (tmp_path / "extent").write_bytes(bytes.fromhex(extent["stored"]))
    output = subprocess.run(
        [sys.executable, str(TEST / "support" / "arca_decrypt.py"), "--keyring", str(tmp_path / "keyring"),
         "--key-file", str(tmp_path / "key"), "--bucket-key", f"{vector['generation']}:{vector['wrapped_bucket_key']}",
         str(tmp_path / "extent")], check=True, capture_output=True).stdout
    assert output == pattern(extent["plain_size"])
