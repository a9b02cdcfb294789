"""A gateway for the tests of a module, plain and with TLS, and stores of their own for those that break them."""
import pytest

from arca import Arca, kill_leftovers
from azurite import Azurite
from minio import Minio


def pytest_sessionfinish():
    kill_leftovers()


@pytest.fixture(scope="module", params=["plain", "tls"])
def arca(request, tmp_path_factory):
    """A running gateway; each test makes buckets of its own (see `bucket`)."""
    gateway = Arca(tmp_path_factory.mktemp("arca"), tls=request.param == "tls")
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    gateway = Arca(tmp_path_factory.mktemp("arca"))
    gateway.start()
    yield gateway
    gateway.stop()


@pytest.fixture
def bucket(request, arca):
    """A new empty bucket's name."""
    return _new_bucket(request, arca)


@pytest.fixture
def plain_bucket(request, plain):
    return _new_bucket(request, plain)


def _new_bucket(request, gateway):
    name = f"b{abs(hash(request.node.nodeid)) % 10**12:012d}"
    gateway.boto3().create_bucket(Bucket=name)
    return name


@pytest.fixture
def minio(tmp_path):
    store = Minio(tmp_path / "minio").start()
    yield store
    store.kill()


@pytest.fixture
def azurite(tmp_path):
    store = Azurite(tmp_path / "azurite").start()
    yield store
    store.kill()
