"""Starts Azurite (installed by build-azurite), the emulator of Azure Blob Storage, as a store behind the gateway."""
import base64
import email.utils
import hashlib
import hmac
import os
import pathlib
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

import pytest

from arca import _started, free_port, wait_until
from programs import SOURCE
from store import Server

PROGRAM = SOURCE / "build" / "tools" / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
ACCOUNT = "arca"
KEY = base64.b64encode(b"arca end to end tests, a key for nobody").decode()


class Azurite(Server):
    """One server over a folder. `settings` is a backend of the gateway's configuration; `wrapper` goes before its command."""

    def __init__(self, folder, container="arca", wrapper=()):
        if not PROGRAM.exists() or shutil.which("node") is None:
            pytest.skip("Azurite is not installed here: test/support/build-azurite installs it")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.container = container
        self.wrapper = list(wrapper)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}/{ACCOUNT}"
        self.keys = self.folder / "keys"
        self.keys.write_text(f"key: {KEY}\n")
        self.keys.chmod(0o600)

    def start(self):
        with open(self.folder / "azurite.log", "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, "node", PROGRAM, "--silent", "--disableTelemetry", "--location", self.data,
                 "--blobPort", str(self.port)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ, AZURITE_ACCOUNTS=f"{ACCOUNT}:{KEY}"))
        _started.append(self.process)
        wait_until(self._ready, what="Azurite is ready")
        return self

    def _ready(self):
        assert self.process.poll() is None, (self.folder / "azurite.log").read_text()
        try:
            self.request("PUT", {"restype": "container"})
        except urllib.error.HTTPError as error:
            return error.code == 409  # it has the container
        except OSError:
            return False
        return True

    def request(self, method, query, blob="", body=None, extra=None):
        """About the container, or a blob in it; signed as
        learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key says."""
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06", **(extra or {})}
        place = f"{self.container}/{blob}" if blob else self.container
        length, kind = ("", "") if body is None else (str(len(body)) if body else "", "application/octet-stream")
        text = "\n".join([method, "", "", length, "", kind, *[""] * 6,
                          *(f"{name}:{headers[name]}" for name in sorted(headers)),
                          f"/{ACCOUNT}/{ACCOUNT}/{place}", *(f"{name}:{query[name]}" for name in sorted(query))])
        signature = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
        if body is not None:
            headers["Content-Type"] = kind
        url = f"{self.endpoint}/{place}?" + urllib.parse.urlencode(query)
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def read(self, key):
        return self.request("GET", {}, key)

    def write(self, key, body):
        self.request("PUT", {}, key, body, {"x-ms-blob-type": "BlockBlob"})

    def keys_of(self, prefix=""):
        found, marker = [], ""
        while True:
            query = {"restype": "container", "comp": "list", "prefix": prefix, "marker": marker}
            page = ElementTree.fromstring(self.request("GET", query).decode("utf-8-sig"))
            found += [name.text for name in page.iterfind("Blobs/Blob/Name")]
            marker = page.findtext("NextMarker") or ""
            if marker == "":
                return found

    def settings(self, name, **more):
        return {"name": name, "driver": "azure", "endpoint": self.endpoint, "account": ACCOUNT, "container": self.container,
                "credentials": {"file": str(self.keys)}, **more}
