#!/usr/bin/env python3
"""Writes test/vectors/sigv2/*.txt: requests that botocore signed with Signature Version 2 at a fixed time.

    sigv2_vectors.py FOLDER

The form is that of sigv4_vectors.py, with one line more: the bucket that the host names, if any.
"""
import email.utils
import pathlib
import sys
from urllib.parse import urlsplit

import botocore.auth
from botocore.awsrequest import AWSRequest

from sigv4_vectors import HOST, KEYS, NOW, ODD_KEYS, UNSIGNED_HEADERS, head, key_url

botocore.auth.formatdate = lambda usegmt: email.utils.format_datetime(NOW, usegmt)
botocore.auth.time.time = NOW.timestamp
VIRTUAL = 'http://bucket.s3.arca.test:9000'


def request(method, url, headers=None, virtual=False):
    """With the path that botocore's clients sign: it has the bucket, and a bucket alone has a slash behind it."""
    path = ('/bucket' if virtual else '') + urlsplit(url).path
    return AWSRequest(method=method, url=url, headers=headers or {}, auth_path=path + '/' * (path == '/bucket'))


def by_header(*args, **kwargs):
    made = request(*args, **kwargs)
    botocore.auth.HmacV1Auth(KEYS).add_auth(made)
    return head(made, UNSIGNED_HEADERS.items())


def by_query(method, url, headers=None, expires=3600, virtual=False):
    """The signed headers, which botocore repeats in the query, go with the request too."""
    made = request(method, url, headers, virtual)
    botocore.auth.HmacV1QueryAuth(KEYS, expires=expires).add_auth(made)
    del made.headers['Date']
    return head(made, UNSIGNED_HEADERS.items())


EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
OVERRIDES = ('response-content-type=text%2Fplain&response-content-disposition=attachment%3B%20filename%3D%22a%2Bb%20%26c.txt'
             '%22&response-cache-control=no-cache&x-id=GetObject')
VECTORS = {
    'list_buckets': ('unsigned', by_header('GET', HOST + '/')),
    'get': ('unsigned', by_header('GET', key_url('key'))),
    'head': ('unsigned', by_header('HEAD', key_url('key'), {'Range': 'bytes=0-9'})),
    'list': ('unsigned', by_header('GET', HOST + '/bucket?list-type=2&prefix=a%2Fb%20c&delimiter=%2F&max-keys=2')),
    'location': ('unsigned', by_header('GET', HOST + '/bucket?location')),
    'delete': ('unsigned', by_header('DELETE', key_url('key', 'versionId=null'))),
    'put': ('unsigned', by_header('PUT', key_url('key'), {
        'Content-Type': 'application/dicom', 'Content-MD5': 'CY9rzUYh03PK3k6DJie09g==',
        'x-amz-meta-note': '  two   spaces and   more ', 'X-Amz-Meta-B': 'b', 'x-amz-acl': 'private'})),
    'put_sha256': ('sha256', by_header('PUT', key_url('key'), {'x-amz-content-sha256': EMPTY})),
    'put_unsigned': ('unsigned', by_header('PUT', key_url('key'), {'x-amz-content-sha256': 'UNSIGNED-PAYLOAD'})),
    'upload_part': ('unsigned', by_header('PUT', key_url('key', 'uploadId=a%2Bb%2Fc%3D&partNumber=7'))),
    'copy': ('unsigned', by_header('PUT', key_url('key'), {'x-amz-copy-source': '/bucket/a%20b'})),
    'virtual_get': ('unsigned', by_header('GET', VIRTUAL + '/a/key', virtual=True)),
    'virtual_list': ('unsigned', by_header('GET', VIRTUAL + '/?uploads&prefix=a', virtual=True)),
    'presigned_get': ('unsigned', by_query('GET', key_url('key'))),
    'presigned_list': ('unsigned', by_query('GET', HOST + '/bucket?list-type=2&prefix=a%2Bb')),
    'presigned_acl': ('unsigned', by_query('GET', key_url('key', 'acl'))),
    'presigned_response': ('unsigned', by_query('GET', key_url('k', OVERRIDES), expires=10**9)),
    'presigned_put': ('unsigned', by_query('PUT', key_url('key'), {
        'Content-Type': 'text/plain', 'x-amz-meta-a': 'b'}, expires=0)),
    'presigned_part': ('unsigned', by_query('PUT', key_url('key', 'partNumber=1&uploadId=0123456789abcdef'))),
    'presigned_virtual': ('unsigned', by_query('GET', VIRTUAL + '/a%20key?versionId=null', virtual=True)),
}
for _name, _key in ODD_KEYS.items():
    VECTORS['key_' + _name] = ('unsigned', by_header('GET', key_url(_key)))
    VECTORS['presigned_key_' + _name] = ('unsigned', by_query('GET', key_url(_key)))

if __name__ == '__main__':
    folder = pathlib.Path(sys.argv[1])
    for name, (payload, text) in VECTORS.items():
        presigned = 'yes' if name.startswith('presigned') else 'no'
        bucket = 'bucket: bucket\n' if 'virtual' in name else ''
        fields = f'now: {NOW:%Y%m%dT%H%M%SZ}\npayload: {payload}\npresigned: {presigned}\n{bucket}\n'
        (folder / f'{name}.txt').write_text(fields + text, newline='\n')
