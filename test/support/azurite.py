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

PROGRAM = SOURCE / "build" / "tools" / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
ACCOUNT = "arca"
KEY = base64.b64encode(b"arca end to end tests, a key for nobody").decode()


class Azurite:
    """One server over a folder. `settings` is a backend of the gateway's configuration."""

    def __init__(self, folder, container="arca"):
        if not PROGRAM.exists() or shutil.which("node") is None:
            pytest.skip("Azurite is not installed here: test/support/build-azurite installs it")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.container = container
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}/{ACCOUNT}"
        self.keys = self.folder / "keys"
        self.keys.write_text(f"key: {KEY}\n")
        self.keys.chmod(0o600)
        self.process = None

    def start(self):
        with open(self.folder / "azurite.log", "ab") as log:
            self.process = subprocess.Popen(
                ["node", PROGRAM, "--silent", "--disableTelemetry", "--location", self.folder / "data",
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

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def request(self, method, query):
        """About the container; signed as learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key says."""
        headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        text = "\n".join([method, *[""] * 11, *(f"{name}:{headers[name]}" for name in sorted(headers)),
                          f"/{ACCOUNT}/{ACCOUNT}/{self.container}", *(f"{name}:{query[name]}" for name in sorted(query))])
        signature = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
        url = f"{self.endpoint}/{self.container}?" + urllib.parse.urlencode(query)
        with urllib.request.urlopen(urllib.request.Request(url, method=method, headers=headers), timeout=10) as answer:
            return answer.read()

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
