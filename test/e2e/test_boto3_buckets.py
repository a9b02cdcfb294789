"""boto3: buckets, listings, sub-resources."""
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

from arca import SECOND_ACCESS_KEY, SECOND_SECRET_KEY
from test_boto3_objects import fails


@pytest.fixture
def s3(arca):
    return arca.boto3()


def test_bucket_life(s3, arca, bucket):
    assert bucket in [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert s3.list_buckets()["Owner"]["DisplayName"] == "Tests"
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    fails("BucketAlreadyOwnedByYou", s3.create_bucket, Bucket=bucket)
    fails("BucketAlreadyExists", arca.boto3(SECOND_ACCESS_KEY, SECOND_SECRET_KEY).create_bucket, Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"")
    fails("BucketNotEmpty", s3.delete_bucket, Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    fails("NoSuchBucket", s3.delete_bucket, Bucket=bucket)
    fails("404", s3.head_bucket, Bucket=bucket)
    fails("NoSuchBucket", s3.list_objects_v2, Bucket=bucket)
    fails("NoSuchBucket", s3.put_object, Bucket=bucket, Key="k", Body=b"x")
    s3.create_bucket(Bucket=bucket)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_location_constraint_names_a_placement(s3, bucket):
    s3.create_bucket(Bucket=bucket + "-p", CreateBucketConfiguration={"LocationConstraint": "default"})
    fails("InvalidLocationConstraint", s3.create_bucket, Bucket=bucket + "-q",
          CreateBucketConfiguration={"LocationConstraint": "mars-north-1"})


@pytest.mark.parametrize("name", ["ab", "a" * 64, "Upper", "under_score", "192.168.1.1", "a..b", "-a-b", "a-b-", "xn--abc"])
def test_bad_names(arca, name):
    import botocore.config
    s3 = arca.boto3()
    s3.meta.events.unregister("before-parameter-build.s3", None)
    from botocore.handlers import validate_bucket_name
    s3.meta.events.unregister("before-parameter-build.s3", validate_bucket_name)
    fails("InvalidBucketName", s3.create_bucket, Bucket=name)


@pytest.fixture
def filled(s3, bucket):
    keys = [f"{folder}/{i:02d}" for folder in ("a", "b", "c/d", "c/e") for i in range(5)] + ["top", "zeta"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    return sorted(keys)


def test_v2(s3, bucket, filled):
    got = s3.list_objects_v2(Bucket=bucket)
    assert [e["Key"] for e in got["Contents"]] == filled and got["KeyCount"] == len(filled) and not got["IsTruncated"]
    got = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == ["a/", "b/", "c/"]
    assert [e["Key"] for e in got["Contents"]] == ["top", "zeta"]
    got = s3.list_objects_v2(Bucket=bucket, Prefix="c/", Delimiter="/")
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == ["c/d/", "c/e/"] and "Contents" not in got
    got = s3.list_objects_v2(Bucket=bucket, StartAfter="b/03", Prefix="b/")
    assert [e["Key"] for e in got["Contents"]] == ["b/04"]
    got = s3.list_objects_v2(Bucket=bucket, StartAfter="t" * 1100 + "/x", Delimiter="/")  # longer than any key
    assert [e["Key"] for e in got["Contents"]] == ["zeta"]
    s3.put_object(Bucket=bucket, Key="top", Body=b"x", StorageClass="STANDARD_IA")
    got = s3.list_objects_v2(Bucket=bucket, Prefix="t")
    assert [e["StorageClass"] for e in got["Contents"]] == ["STANDARD_IA"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert "Owner" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert s3.list_objects_v2(Bucket=bucket, FetchOwner=True)["Contents"][0]["Owner"]["DisplayName"] == "Tests"
    got = s3.list_objects_v2(Bucket=bucket, Delimiter="d/")
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == ["c/d/"]
    fails("InvalidArgument", s3.list_objects_v2, Bucket=bucket, ContinuationToken="garbage!")
    fails("InvalidArgument", s3.list_objects_v2, Bucket=bucket, MaxKeys=-1)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages(s3, bucket, filled, size, delimiter):
    want = filled if not delimiter else ["a/", "b/", "c/", "top", "zeta"]
    for operation in ("list_objects_v2", "list_objects"):
        seen = []
        for page in s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter=delimiter,
                                                         PaginationConfig={"PageSize": size}):
            found = [e["Key"] for e in page.get("Contents", [])] + [p["Prefix"] for p in page.get("CommonPrefixes", [])]
            assert len(found) <= size
            seen += sorted(found)
        assert seen == want


def test_v1_marker(s3, bucket, filled):
    got = s3.list_objects(Bucket=bucket, Marker="c/e/03")
    assert [e["Key"] for e in got["Contents"]] == ["c/e/04", "top", "zeta"]
    assert got["Contents"][0]["Owner"]["ID"] == "a" * 64
    got = s3.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert got["IsTruncated"] and got["NextMarker"] == "b/"


def test_tokens_are_stable_while_keys_change(s3, bucket, filled):
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=10)
    s3.delete_object(Bucket=bucket, Key=page["Contents"][-1]["Key"])
    s3.put_object(Bucket=bucket, Key="a/000", Body=b"")
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=page["NextContinuationToken"])
    assert [e["Key"] for e in rest["Contents"]] == filled[10:]


def test_more_than_a_thousand_keys_and_deep_prefixes(arca, s3, bucket):
    import concurrent.futures
    keys = sorted(f"p{i % 3}/{i:05d}" for i in range(1203))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b""), keys))
    first = s3.list_objects_v2(Bucket=bucket)
    assert first["IsTruncated"] and len(first["Contents"]) == 1000
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=first["NextContinuationToken"])
    assert [e["Key"] for e in first["Contents"] + rest["Contents"]] == keys
    got = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=3)
    assert [p["Prefix"] for p in got["CommonPrefixes"]] == ["p0/", "p1/", "p2/"] and not got["IsTruncated"]


def test_versions_as_if_never_versioned(s3, bucket, filled):
    got = s3.list_object_versions(Bucket=bucket, Prefix="a/")
    assert [(v["Key"], v["VersionId"], v["IsLatest"]) for v in got["Versions"]] == \
        [(k, "null", True) for k in filled if k.startswith("a/")]


def test_subresources_not_configured(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert s3.get_bucket_versioning(Bucket=bucket).get("Status") is None
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert s3.get_object_acl(Bucket=bucket, Key="k")["Owner"]["ID"] == "a" * 64
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    s3.get_bucket_logging(Bucket=bucket)
    s3.get_bucket_notification_configuration(Bucket=bucket)
    for code, call in [("ObjectLockConfigurationNotFoundError", s3.get_object_lock_configuration),
                       ("NoSuchBucketPolicy", s3.get_bucket_policy), ("NoSuchCORSConfiguration", s3.get_bucket_cors),
                       ("NoSuchLifecycleConfiguration", s3.get_bucket_lifecycle_configuration),
                       ("NoSuchTagSet", s3.get_bucket_tagging), ("NoSuchWebsiteConfiguration", s3.get_bucket_website),
                       ("ReplicationConfigurationNotFoundError", s3.get_bucket_replication),
                       ("NoSuchPublicAccessBlockConfiguration", s3.get_public_access_block)]:
        fails(code, call, Bucket=bucket)
        fails("NoSuchBucket", call, Bucket=bucket + "-none")


def test_not_built_yet_says_so(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    answer = fails("NotImplemented", s3.put_object_tagging, Bucket=bucket, Key="k",
                   Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    fails("NotImplemented", s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    fails("NotImplemented", s3.put_bucket_policy, Bucket=bucket, Policy="{}")
    fails("NotImplemented", s3.restore_object, Bucket=bucket, Key="k", RestoreRequest={"Days": 1})


def test_virtual_host_style(plain, plain_bucket):
    plain.boto3().put_object(Bucket=plain_bucket, Key="v h/k", Body=b"by host")
    url = plain.boto3().generate_presigned_url("get_object", Params={"Bucket": plain_bucket, "Key": "v h/k"})
    assert urllib.request.urlopen(url).read() == b"by host"
    import botocore.config
    import boto3
    from arca import ACCESS_KEY, REGION, SECRET_KEY
    virtual = boto3.client("s3", endpoint_url=f"http://s3.arca.test:{plain.port}", aws_access_key_id=ACCESS_KEY,
                           aws_secret_access_key=SECRET_KEY, region_name=REGION,
                           config=botocore.config.Config(s3={"addressing_style": "virtual"}, signature_version="s3v4"))
    url = virtual.generate_presigned_url("get_object", Params={"Bucket": plain_bucket, "Key": "v h/k"})
    assert f"//{plain_bucket}.s3.arca.test" in url
    host = url.split("/")[2]
    request = urllib.request.Request(url.replace(host, plain.host, 1), headers={"Host": host})
    assert urllib.request.urlopen(request).read() == b"by host"


def test_anonymous_is_refused(plain, plain_bucket):
    plain.boto3().put_object(Bucket=plain_bucket, Key="k", Body=b"x")
    for path in ("/", f"/{plain_bucket}", f"/{plain_bucket}/k"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(plain.endpoint + path)
        assert caught.value.code == 403 and b"<Code>AccessDenied</Code>" in caught.value.read()
