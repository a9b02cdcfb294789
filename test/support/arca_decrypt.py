#!/usr/bin/env python3
"""A decryptor for what Arca stores, written from crypto/FORMAT.md alone. It shares no code with Arca: what both read
the same way is what the document says.

As a program: arca_decrypt.py --keyring FILE (--key-file FILE | --passphrase-file FILE)
                              --bucket-key GENERATION:HEX EXTENT...   writes the plaintext to standard output
"""
import argparse
import hashlib
import hmac
import struct
import sys
from dataclasses import dataclass

import nacl.pwhash.argon2id
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt as xchacha_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt as xchacha_encrypt,
)
from nacl.exceptions import CryptoError

SEGMENT = 65536
HEADER = 192
AES_256_GCM, XCHACHA20_POLY1305, AEGIS_256 = 1, 2, 3
NONCE_SIZE = {AES_256_GCM: 12, XCHACHA20_POLY1305: 24, AEGIS_256: 32}
TAG_SIZE = {AES_256_GCM: 16, XCHACHA20_POLY1305: 16, AEGIS_256: 32}


class Damaged(Exception):
    """What was read is not what was written."""


class WrongKey(Exception):
    """The key does not fit."""


class Unsupported(Exception):
    """Fine, as far as one can tell, but not for this program."""


def label(text):
    return text.encode().ljust(16, b"\0")


def blake2b(message, key=b""):
    return hashlib.blake2b(message, key=key, digest_size=32).digest()


def unwrap(wrapping_key, associated, wrapped):
    if len(wrapped) != 72:
        raise Damaged("a wrapped key has 72 bytes")
    try:
        return xchacha_decrypt(wrapped[24:], associated, wrapped[:24], wrapping_key)
    except CryptoError:
        raise WrongKey("a wrapped key does not open") from None


class Keyring:
    def __init__(self, file, key_file=None, passphrase=None):
        if len(file) < 100 + 36 + 32 or file[:8] != b"ARCAKEYS":
            raise Damaged("not a keyring")
        if file[8] != 1:
            raise Unsupported(f"keyring format {file[8]}")
        unlock, zero, passes, memory, salt, self.id, count = struct.unpack(">BHIQ16s16sI", file[9:60])
        if len(file) != 132 + 36 * count or zero != 0 or blake2b(file[:-32]) != file[-32:]:
            raise Damaged("the keyring is damaged")
        if unlock == 1 and key_file is not None:
            key = blake2b(label("arca key file") + salt + key_file)
        elif unlock == 2 and passphrase is not None:
            key = nacl.pwhash.argon2id.kdf(32, passphrase, salt, opslimit=passes, memlimit=memory)
        else:
            raise WrongKey("the keyring is unlocked in another way")
        try:
            plain = xchacha_decrypt(file[84:-32], file[:60], file[60:84], key)
        except CryptoError:
            raise WrongKey("the secret does not open the keyring") from None
        self.root_keys = {}
        for at in range(0, len(plain), 36):
            self.root_keys[struct.unpack(">I", plain[at:at + 4])[0]] = plain[at + 4:at + 36]

    def bucket_key(self, key_id, generation, wrapped):
        associated = label("arca bucket key") + self.id + struct.pack(">QI", key_id, generation)
        return unwrap(self.root_keys[generation], associated, wrapped)


@dataclass
class Header:
    bytes: bytes
    suite: int
    extent_number: int
    blob_id: bytes
    bucket_key_id: int
    keyring_id: bytes
    wrapped_key: bytes
    commitment: bytes


def parse_header(extent):
    raw = bytes(extent[:HEADER])
    if len(raw) != HEADER or raw[:8] != b"ARCAEXTN":
        raise Damaged("not an extent")
    if raw[8] != 1:
        raise Unsupported(f"extent format {raw[8]}")
    suite, segment, zero, number, blob_id, bucket_key_id, keyring_id, wrapped, zeroes, commitment = struct.unpack(
        ">BBBI16sQ16s72s32s32s", raw[9:])
    if segment != 16 or zero != 0 or zeroes != bytes(32):
        raise Damaged("the header's fixed bytes are not as they must be")
    if suite not in NONCE_SIZE:
        raise Unsupported(f"suite {suite}")
    return Header(raw, suite, number, blob_id, bucket_key_id, keyring_id, wrapped, commitment)


def data_key(bucket_key, header):
    associated = (label("arca data key") + bytes([header.suite]) + header.blob_id
                  + struct.pack(">Q", header.bucket_key_id))
    return unwrap(bucket_key, associated, header.wrapped_key)


def commitment(key, header_start):
    return blake2b(label("arca commitment") + header_start, key)


def extent_key(key, suite, blob_id, extent_number):
    return blake2b(label("arca extent key") + bytes([suite]) + blob_id + struct.pack(">I", extent_number), key)


def segment_nonce(suite, number, final):
    return (struct.pack(">Q", number) + bytes([final])).rjust(NONCE_SIZE[suite], b"\0")


def open_segment(suite, key, nonce, associated, sealed):
    try:
        if suite == AES_256_GCM:
            return AESGCM(key).decrypt(nonce, sealed, associated)
        if suite == XCHACHA20_POLY1305:
            return xchacha_decrypt(sealed, associated, nonce, key)
    except (InvalidTag, CryptoError):
        raise Damaged("a segment does not verify") from None
    raise Unsupported("AEGIS-256: no Python library has it")


def seal_segment(suite, key, nonce, associated, plain):
    if suite == AES_256_GCM:
        return AESGCM(key).encrypt(nonce, plain, associated)
    if suite == XCHACHA20_POLY1305:
        return xchacha_encrypt(plain, associated, nonce, key)
    raise Unsupported("AEGIS-256: no Python library has it")


def open_extent(extent, bucket_key, blob_id=None, extent_number=None):
    """The plaintext of a whole stored extent; what it must be part of is checked where it is given."""
    header = parse_header(extent)
    if blob_id not in (None, header.blob_id) or extent_number not in (None, header.extent_number):
        raise Damaged("another extent than the one asked for")
    key = data_key(bucket_key, header)
    if not hmac.compare_digest(commitment(key, header.bytes[:160]), header.commitment):
        raise Damaged("the header does not belong to its data key")
    key = extent_key(key, header.suite, header.blob_id, header.extent_number)
    tag = TAG_SIZE[header.suite]
    body = memoryview(extent)[HEADER:]
    segments = -(-len(body) // (SEGMENT + tag))
    if segments == 0 or len(body) - (segments - 1) * (SEGMENT + tag) <= tag:
        raise Damaged("the extent has a length that none can have")
    plain = bytearray()
    for number in range(segments):
        sealed = bytes(body[number * (SEGMENT + tag):(number + 1) * (SEGMENT + tag)])
        nonce = segment_nonce(header.suite, number, number == segments - 1)
        plain += open_segment(header.suite, key, nonce, header.commitment, sealed)
    return bytes(plain)


def main():
    parser = argparse.ArgumentParser(description="Decrypts extents that Arca stored.")
    parser.add_argument("--keyring", required=True)
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--key-file")
    secret.add_argument("--passphrase-file", help="the whole content is the passphrase")
    parser.add_argument("--bucket-key", required=True, metavar="GENERATION:HEX", help="as the index has it, wrapped")
    parser.add_argument("extent", nargs="+", help="files, in the order of their extent numbers")
    arguments = parser.parse_args()

    def content(path):
        if path is None:
            return None
        with open(path, "rb") as file:
            return file.read()

    keyring = Keyring(content(arguments.keyring), content(arguments.key_file), content(arguments.passphrase_file))
    generation, wrapped = arguments.bucket_key.split(":")
    blob_id = None
    for number, path in enumerate(arguments.extent):
        extent = content(path)
        header = parse_header(extent)
        blob_id = blob_id or header.blob_id
        bucket_key = keyring.bucket_key(header.bucket_key_id, int(generation), bytes.fromhex(wrapped))
        sys.stdout.buffer.write(open_extent(extent, bucket_key, blob_id, number))


if __name__ == "__main__":
    try:
        main()
    except (Damaged, WrongKey, Unsupported, OSError) as error:
        sys.exit(f"arca_decrypt: {error}")
