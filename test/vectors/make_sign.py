#!/usr/bin/env python3
"""Writes sign.json: requests as botocore sends and signs them. Run by hand when a case is added."""
import datetime
import json
import pathlib
from unittest import mock

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
LONG = Credentials("AKIAIOSFODNN7EXAMPLE", "a secret longer than a block of SHA-256, with its prefix: " + "x" * 40)
NOW = datetime.datetime(2026, 11, 24, 20, 30, 43, tzinfo=datetime.timezone.utc)
TIMESTAMP = NOW.strftime("%Y%m%dT%H%M%SZ")
SCOPE = NOW.strftime("%Y%m%d") + "/us-east-1/s3/aws4_request"

# method, path as on the wire, query as on the wire, more headers
CASES = [
    ("GET", "/", "", {}),
    ("GET", "/bucket", "list-type=2&prefix=a%2Fb&delimiter=%2F&max-keys=1000", {}),
    ("GET", "/bucket", "prefix=a%20b%2Bc&encoding-type=url&marker=", {}),
    ("GET", "/bucket", "uploads=", {}),
    ("GET", "/bucket", "versions=&key-marker=%C3%A4&version-id-marker=~._-", {}),
    ("PUT", "/bucket/simple", "", {"Content-Type": "text/plain"}),
    ("PUT", "/bucket/with%20space%2Bplus%25percent", "", {}),
    ("PUT", "/bucket/%C3%A4%C3%B6%C3%BC/%E6%97%A5%E6%9C%AC", "", {}),
    ("PUT", "/bucket//double//slash/", "", {}),
    ("PUT", "/bucket/a/../b/./c", "", {}),
    ("PUT", "/bucket/~tilde-._", "", {}),
    ("PUT", "/bucket/%21%40%23%24%26%2A%28%29%3D%3A%2C%3B%3F%27", "", {}),
    ("PUT", "/bucket/%01%7F", "", {}),
    ("PUT", "/bucket/meta", "", {"x-amz-meta-a": "  spaces   inside  ", "X-Amz-Meta-B": "MixedCase"}),
    ("PUT", "/bucket/meta", "", {"x-amz-meta-empty": ""}),
    ("PUT", "/bucket/part", "partNumber=12&uploadId=abc%2F%3D%3D", {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}),
    ("PUT", "/bucket/copy", "", {"x-amz-copy-source": "/bucket/%C3%A4%20b", "x-amz-metadata-directive": "REPLACE"}),
    ("POST", "/bucket", "delete=", {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}),
    ("GET", "/bucket/range", "response-content-disposition=attachment%3B%20filename%3D%22a%22", {"Range": "bytes=5-"}),
    ("HEAD", "/bucket/key", "partNumber=1", {"x-amz-checksum-mode": "ENABLED"}),
    ("DELETE", "/bucket/key", "versionId=null", {}),
]


def request(method, path, query, headers):
    url = "http://localhost:9000" + path + ("?" + query if query else "")
    made = AWSRequest(method=method, url=url, data=b"", headers=dict(headers))
    made.context["signing"] = {"disableDoubleEncoding": True}
    return made


def row(method, path, query, headers, payload_hash, signature, credentials):
    return {"method": method, "path": path, "query": query, "headers": headers, "payload_hash": payload_hash,
            "timestamp": TIMESTAMP, "scope": SCOPE, "secret": credentials.secret_key, "signature": signature}


def header_signed(case, credentials):
    method, path, query, more = case
    made = request(method, path, query, more)
    S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(made)
    fields = dict(item.split("=", 1) for item in made.headers["Authorization"].split(" ", 1)[1].split(", "))
    names = fields["SignedHeaders"].split(";")
    headers = [[name, made.headers.get(name, "localhost:9000")] for name in names]
    return row(method, path, query, headers, made.headers["X-Amz-Content-SHA256"], fields["Signature"], credentials)


def query_signed(case, credentials):
    method, path, query, more = case
    made = request(method, path, query, {})
    S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=3600).add_auth(made)
    signed_query = made.url.split("?", 1)[1]
    signature = signed_query.rsplit("X-Amz-Signature=", 1)[1]
    return row(method, path, signed_query, [["host", "localhost:9000"]], "UNSIGNED-PAYLOAD", signature, credentials)


def main():
    clock = mock.patch("botocore.auth.get_current_datetime", lambda *a, **k: NOW.replace(tzinfo=None))
    with clock:
        rows = [header_signed(case, CREDENTIALS) for case in CASES]
        rows += [query_signed(case, CREDENTIALS) for case in CASES]
        rows.append(header_signed(CASES[0], LONG))
    path = pathlib.Path(__file__).with_name("sign.json")
    path.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
