#!/usr/bin/env python3
"""Writes test/vectors/sigv4/*.txt: requests that botocore signed at a fixed time.

    sigv4_vectors.py FOLDER

A vector is lines `name: value` (now, payload, presigned), an empty line, and the request's head with LF line ends.
"""
import datetime
import hashlib
import pathlib
import sys
from urllib.parse import quote, urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

NOW = datetime.datetime(2026, 11, 24, 20, 30, 43, tzinfo=datetime.timezone.utc)
KEYS = Credentials('ARCATESTACCESSKEY001', 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY')
HOST = 'http://127.0.0.1:9000'
UNSIGNED_HEADERS = {'User-Agent': 'Boto3/1.43', 'Accept-Encoding': 'identity'}

botocore.auth.get_current_datetime = lambda *a, **k: NOW


def head(request, extra=()):
    parts = urlsplit(request.url)
    lines = [f'{request.method} {parts.path or "/"}{"?" + parts.query if parts.query else ""} HTTP/1.1']
    headers = {'Host': parts.netloc, **dict(request.headers.items())}
    lines += [f'{name}: {value}' for name, value in headers.items()]
    lines += [f'{name}: {value}' for name, value in extra]
    return '\n'.join(lines) + '\n\n'


def key_url(key, query=''):
    return f'{HOST}/bucket/{quote(key, safe="/~")}{"?" + query if query else ""}'


def by_header(method, url, headers=None, body=b'', payload=None):
    request = AWSRequest(method=method, url=url, data=body, headers=headers or {})
    if payload is not None:
        request.headers['X-Amz-Content-SHA256'] = payload

    class Signer(botocore.auth.S3SigV4Auth):
        def payload(self, _request):
            return payload or hashlib.sha256(body).hexdigest()

    Signer(KEYS, 's3', 'us-east-1').add_auth(request)
    return head(request, UNSIGNED_HEADERS.items())


def by_query(method, url, headers=None, expires=3600):
    request = AWSRequest(method=method, url=url, headers=headers or {})
    botocore.auth.S3SigV4QueryAuth(KEYS, 's3', 'us-east-1', expires=expires).add_auth(request)
    return head(request, UNSIGNED_HEADERS.items())


ODD_KEYS = {
    'space': 'a key with  spaces', 'plus': 'a+b', 'percent': 'a%20b%', 'unicode': 'größe/日本語/🗄', 'slashes': '//a//b/',
    'dots': '../a/./b/..', 'punctuation': "!$&'()*,;=:@~[]^`{|}\"<>\\", 'control': 'tab\tand\x01',
}
VECTORS = {
    'list_buckets': ('sha256', by_header('GET', HOST + '/')),
    'get': ('sha256', by_header('GET', key_url('key'))),
    'head': ('sha256', by_header('HEAD', key_url('key'), {'Range': 'bytes=0-9'})),
    'list': ('sha256', by_header('GET', HOST + '/bucket?list-type=2&prefix=a%2Fb%20c&delimiter=%2F&max-keys=2')),
    'query_bare': ('sha256', by_header('GET', HOST + '/bucket?versioning=')),
    'query_unsorted': ('sha256', by_header('GET', HOST + '/bucket?b=2&a=2&a=1&B=~&empty=')),
    'delete': ('sha256', by_header('DELETE', key_url('key', 'versionId=null'))),
    'put': ('sha256', by_header('PUT', key_url('key'), {
        'Content-Type': 'application/dicom', 'Content-MD5': 'CY9rzUYh03PK3k6DJie09g==',
        'x-amz-meta-note': '  two   spaces and   more ', 'x-amz-storage-class': 'STANDARD'}, b'test')),
    'put_unsigned': ('unsigned', by_header('PUT', key_url('key'), {}, b'', 'UNSIGNED-PAYLOAD')),
    'put_trailer': ('chunked_unsigned_trailer', by_header('PUT', key_url('key'), {
        'Content-Encoding': 'aws-chunked', 'x-amz-trailer': 'x-amz-checksum-crc32',
        'x-amz-decoded-content-length': '4'}, b'', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER')),
    'put_chunked': ('chunked_signed', by_header('PUT', key_url('key'), {
        'x-amz-decoded-content-length': '4'}, b'', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD')),
    'presigned_get': ('unsigned', by_query('GET', key_url('key'))),
    'presigned_list': ('unsigned', by_query('GET', HOST + '/bucket?list-type=2&prefix=a%2Bb')),
    'presigned_response': ('unsigned', by_query('GET', key_url('k', 'response-content-type=text%2Fplain'), expires=604800)),
    'presigned_put': ('unsigned', by_query('PUT', key_url('key'), {
        'Content-Type': 'text/plain', 'x-amz-meta-a': 'b'}, expires=1)),
}
for _name, _key in ODD_KEYS.items():
    VECTORS['key_' + _name] = ('sha256', by_header('GET', key_url(_key)))
    VECTORS['presigned_key_' + _name] = ('unsigned', by_query('GET', key_url(_key)))

if __name__ == '__main__':
    folder = pathlib.Path(sys.argv[1])
    for name, (payload, text) in VECTORS.items():
        presigned = 'yes' if name.startswith('presigned') else 'no'
        fields = f'now: {NOW:%Y%m%dT%H%M%SZ}\npayload: {payload}\npresigned: {presigned}\n\n'
        (folder / f'{name}.txt').write_text(fields + text, newline='\n')
