"""A mixed load that knows what it was promised: the model behind the crash tests.

Each worker owns its keys, so that per key there is one order of events. An operation is first noted as attempted, then
sent; an acknowledgement replaces the key's state. After a crash a key must have its acknowledged state or that of the one
attempt that was not answered."""
import hashlib
import http.client
import random
import re
import threading
import urllib.parse
import xml.sax.saxutils

ABSENT = None
BUCKET = "load"
PART_MIN = 5 << 20


def body_of(seed, size):
    return random.Random(seed).randbytes(size)


class Load:
    def __init__(self, arca, workers=6, keys=12, seed=0):
        self.arca = arca
        self.keys = keys
        self.workers = workers
        self.rng = random.Random(seed)
        self.signer = arca.boto3()
        self.stopping = threading.Event()
        self.acknowledged = {}  # key -> (seed, size) or ABSENT
        self.attempted = {}     # key -> what the unanswered operation would leave
        self.touched = set()    # keys changed since the last verify
        self.operations = 0
        self.next_seed = seed * 1_000_000_007 + 1
        self.lock = threading.Lock()
        self.errors = []

    # --- the wire ---

    def _url(self, operation, **params):
        url = self.signer.generate_presigned_url(operation, Params={"Bucket": BUCKET, **params})
        parts = urllib.parse.urlsplit(url)
        return f"{parts.path}?{parts.query}"

    def _send(self, connection, method, url, body=None, headers=None):
        connection.request(method, url, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()

    # --- operations; each returns the state it leaves ---

    def _put(self, connection, rng, key, size):
        with self.lock:
            seed = self.next_seed
            self.next_seed += 1
        state = (seed, size)
        self._attempt(key, state)
        status, headers, answer = self._send(connection, "PUT", self._url("put_object", Key=key), body_of(*state))
        assert status == 200, answer
        assert headers["ETag"].strip('"') == hashlib.md5(body_of(*state)).hexdigest()
        return state

    def _delete(self, connection, rng, key):
        self._attempt(key, ABSENT)
        status, _, answer = self._send(connection, "DELETE", self._url("delete_object", Key=key))
        assert status == 204, answer
        return ABSENT

    def _copy(self, connection, rng, key):
        """Onto a key of the same worker, from one of its own."""
        source = rng.choice([k for k in self._own(key)])
        if self.acknowledged.get(source) is ABSENT:
            return self._put(connection, rng, key, 100)
        state = self.acknowledged[source]
        self._attempt(key, state)
        directive = {"MetadataDirective": "REPLACE"} if source == key else {}
        url = self._url("copy_object", Key=key, CopySource={"Bucket": BUCKET, "Key": source}, **directive)
        headers = {"x-amz-copy-source": f"{BUCKET}/{source}"}
        if directive:
            headers["x-amz-metadata-directive"] = "REPLACE"
        status, _, answer = self._send(connection, "PUT", url, headers=headers)
        assert status == 200 and b"CopyObjectResult" in answer, answer
        return state

    def _multipart(self, connection, rng, key):
        with self.lock:
            seed = self.next_seed
            self.next_seed += 1
        state = (seed, PART_MIN + 1000)
        body = body_of(*state)
        _, _, answer = self._send(connection, "POST", self._url("create_multipart_upload", Key=key))
        upload = re.search(rb"<UploadId>([^<]+)</UploadId>", answer)[1].decode()
        xml_parts = ""
        for number, piece in ((1, body[:PART_MIN]), (2, body[PART_MIN:])):
            status, headers, answer = self._send(connection, "PUT", self._url(
                "upload_part", Key=key, UploadId=upload, PartNumber=number), piece)
            assert status == 200, answer
            xml_parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{xml.sax.saxutils.escape(headers['ETag'])}</ETag></Part>"
        self._attempt(key, state)
        status, _, answer = self._send(connection, "POST", self._url("complete_multipart_upload", Key=key, UploadId=upload),
                                       f"<CompleteMultipartUpload>{xml_parts}</CompleteMultipartUpload>")
        assert status == 200 and b"<ETag>" in answer, answer
        return state

    # --- the model ---

    def _own(self, key):
        worker = key.split("/")[0]
        return [f"{worker}/k{i}" for i in range(self.keys)]

    def _attempt(self, key, state):
        self.touched.add(key)
        self.attempted[key] = state

    def _step(self, connection, rng, worker):
        key = f"w{worker}/k{rng.randrange(self.keys)}"
        dice = rng.random()
        if dice < 0.60:
            state = self._put(connection, rng, key, rng.choice([0, 1, 100, 4096, 65536, 70_001]))
        elif dice < 0.68:
            state = self._put(connection, rng, key, rng.randrange(300_000, 3_000_000))
        elif dice < 0.82:
            state = self._delete(connection, rng, key)
        elif dice < 0.98:
            state = self._copy(connection, rng, key)
        else:
            state = self._multipart(connection, rng, key)
        self.acknowledged[key] = state
        self.attempted.pop(key, None)
        with self.lock:
            self.operations += 1

    def _work(self, worker, seed):
        rng = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.arca.port, timeout=60)
        while not self.stopping.is_set():
            try:
                self._step(connection, rng, worker)
            except (OSError, http.client.HTTPException):
                return  # the gateway was killed; what was attempted stays noted
            except Exception as error:  # a wrong answer is a failure of the test
                self.errors.append(error)
                return

    def start(self):
        self.stopping.clear()
        self.threads = [threading.Thread(target=self._work, args=(w, self.rng.random())) for w in range(self.workers)]
        for thread in self.threads:
            thread.start()

    def join(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def verify(self, everything=False):
        """Reads back; unanswered attempts are settled by what is found."""
        connection = http.client.HTTPConnection("127.0.0.1", self.arca.port, timeout=60)
        keys = set(self.acknowledged) | set(self.attempted) if everything else set(self.touched)
        for key in sorted(keys):
            allowed = [self.acknowledged.get(key, ABSENT)]
            if key in self.attempted:
                allowed.append(self.attempted[key])
            status, _, body = self._send(connection, "GET", self._url("get_object", Key=key))
            if status == 404:
                found = ABSENT
                assert ABSENT in allowed, f"{key}: lost; acknowledged was {allowed}"
            else:
                assert status == 200, f"{key}: {status} {body[:300]}"
                found = next((s for s in allowed if s is not ABSENT and s[1] == len(body) and body_of(*s) == body), "torn")
                assert found != "torn", f"{key}: {len(body)} bytes that nobody wrote; allowed were {allowed}"
            self.acknowledged[key] = found
            self.attempted.pop(key, None)
        self.touched.clear()
        listed = set()
        for page in self.signer.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            listed |= {entry["Key"] for entry in page.get("Contents", [])}
        assert listed == {k for k, state in self.acknowledged.items() if state is not ABSENT}
