"""s3/upload: bytes, metadata and properties as boto3 sees them; requests as the stand-in counts them."""

import hashlib
import os
import random
import time

import boto3
import pytest
from host import PRIMARY, SECONDARY, finish

MIB = 1 << 20


@pytest.fixture(scope="session")
def s3():
    return {region: boto3.client("s3", region_name=region) for region in (PRIMARY, SECONDARY)}


@pytest.fixture
def bucket(s3, cloud, request):
    name = "b-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[:50].strip("-")
    for region, client in s3.items():
        more = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=f"{name}-{region}", **more)
    cloud.reset()
    return name


def into(bucket, region=PRIMARY, **more):
    return {"file": "a.zip", "bucket": f"{bucket}-{region}", "key": "core/1 +ü.zip", "region": region, **more}


def get(s3, options):
    return s3[options["region"]].get_object(Bucket=options["bucket"], Key=options["key"], ChecksumMode="ENABLED")


def uploads(s3, options):
    return s3[options["region"]].list_multipart_uploads(Bucket=options["bucket"]).get("Uploads", [])


@pytest.mark.parametrize("size", [0, 1, 20_000])
def test_small(host, s3, cloud, bucket, size):
    data = random.Random(size).randbytes(size)
    host.write("a.zip", data)
    for region in s3:
        options = into(bucket, region)
        planned = host("upload", options, "plan").ok("changed")
        assert planned.changes and cloud.mutating() == []
        done = host("upload", options).ok("changed")
        answer = get(s3, options)
        assert answer["Body"].read() == data
        assert answer["Metadata"]["sha256"] == done.outputs["sha256"] == hashlib.sha256(data).hexdigest()
        assert answer["ETag"] == done.outputs["etag"]
        assert answer["ContentType"] == "application/zip"
        assert done.outputs["url"] == f"https://{options['bucket']}.s3.{region}.amazonaws.com/core/1%20%2B%C3%BC.zip"
        cloud.reset()
        host("upload", options).ok("unchanged")
        host("upload", options, "plan").ok("unchanged")
        host("upload", options, "verify").ok("unchanged")
        assert cloud.mutating() == []
        cloud.reset()


def test_changed_content_and_missing(host, s3, cloud, bucket):
    options = into(bucket)
    host.write("a.zip", b"one")
    assert "missing" in host("upload", options, "verify").ok("changed").changes[0]
    host("upload", options).ok("changed")
    host.write("a.zip", b"two")
    assert "content" in host("upload", options, "verify").ok("changed").changes[0]
    assert "replace" in host("upload", options, "plan").ok("changed").changes[0]
    host("upload", options | {"existing": "keep"}).ok("unchanged")
    failed = host("upload", options | {"existing": "fail"})
    assert failed.code == "conflict" and "content" in failed.message
    host("upload", options).ok("changed")
    assert get(s3, options)["Body"].read() == b"two"


def test_properties(host, s3, cloud, bucket):
    host.write("a.zip", b"x")
    options = into(bucket, **{
        "content-type": "application/x-thing", "cache-control": "no-cache", "metadata": {"Build": "17"},
        "tags": {"team": "a b", "x": "1=2/3"}, "storage-class": "STANDARD_IA", "acl": "bucket-owner-full-control",
    })  # fmt: skip
    host("upload", options).ok("changed")
    answer = get(s3, options)
    assert (answer["ContentType"], answer["CacheControl"]) == ("application/x-thing", "no-cache")
    assert answer["Metadata"]["build"] == "17" and answer["StorageClass"] == "STANDARD_IA"
    tags = s3[PRIMARY].get_object_tagging(Bucket=options["bucket"], Key=options["key"])["TagSet"]
    assert {t["Key"]: t["Value"] for t in tags} == options["tags"]
    host("upload", options).ok("unchanged")
    host("upload", options | {"cache-control": "max-age=1"}).ok("changed")
    kms = boto3.client("kms", region_name=PRIMARY).create_key()["KeyMetadata"]
    with_key = options | {"cache-control": "max-age=1", "kms-key": kms["Arn"]}
    host("upload", with_key).ok("changed")
    assert get(s3, options)["ServerSideEncryption"] == "aws:kms"
    host("upload", with_key).ok("unchanged")


def test_versions(host, s3, cloud, bucket):
    host.write("a.zip", b"x")
    options = into(bucket)
    s3[PRIMARY].put_bucket_versioning(Bucket=options["bucket"], VersioningConfiguration={"Status": "Enabled"})
    first = host("upload", options).ok("changed").outputs["version-id"]
    assert first == s3[PRIMARY].head_object(Bucket=options["bucket"], Key=options["key"])["VersionId"]
    assert host("upload", options).ok("unchanged").outputs["version-id"] == first


def test_multipart(host, s3, cloud, bucket):
    data = random.Random(3).randbytes(17 * MIB + 3)
    host.write("a.zip", data)
    options = into(bucket, SECONDARY, **{"part-size": "5MiB", "metadata": {"build": "1"}})
    done = host("upload", options).ok("changed")
    assert cloud.actions("s3").count("UploadPart") == 4
    answer = get(s3, options)
    assert answer["Body"].read() == data
    assert answer["Metadata"] == {"sha256": hashlib.sha256(data).hexdigest(), "build": "1"}
    assert done.outputs["etag"] == answer["ETag"] and done.outputs["etag"].endswith('-4"')
    cloud.reset()
    host("upload", options).ok("unchanged")
    assert cloud.mutating() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "UploadPart", "effect": "status", "status": 503, "count": 2},
        {"action": "UploadPart", "effect": "lost-answer", "count": 1},
        {"action": "UploadPart", "effect": "cut-request", "bytes": 1 << 20, "count": 1},
        {"action": "CompleteMultipartUpload", "effect": "status", "status": 500, "count": 1},
        {"action": "CompleteMultipartUpload", "effect": "lost-answer", "count": 1},
        {"action": "CreateMultipartUpload", "effect": "lost-answer", "count": 1},
    ],
)
def test_multipart_faults(host, s3, cloud, bucket, fault):
    data = random.Random(4).randbytes(11 * MIB)
    host.write("a.zip", data)
    options = into(bucket, **{"part-size": "5MiB", "multipart-from": "1MiB"})
    cloud.fault(service="s3", **fault)
    host("upload", options).ok("changed")
    assert get(s3, options)["Body"].read() == data


def test_put_faults(host, s3, cloud, bucket):
    data = random.Random(5).randbytes(3 * MIB)
    host.write("a.zip", data)
    for fault in ({"effect": "status", "status": 503}, {"effect": "cut-request", "bytes": 100_000}, {"effect": "lost-answer"}):
        cloud.reset()
        cloud.fault(service="s3", action="PutObject", count=1, **fault)
        host.write("a.zip", data := data[1:])
        host("upload", into(bucket)).ok("changed")
        assert get(s3, into(bucket))["Body"].read() == data


def test_failure_aborts_the_parts(host, s3, cloud, bucket):
    host.write("a.zip", os.urandom(11 * MIB))
    options = into(bucket, **{"part-size": "5MiB", "multipart-from": "1MiB"})
    cloud.fault(service="s3", action="UploadPart", effect="status", status=500, skip=1)
    done = host("upload", options)
    assert done.code == "remote" and "part " in done.message, done.message
    assert uploads(s3, options) == []
    assert any("aborted" in text for text in done.logs)


def test_stopped_upload_is_aborted(host, s3, cloud, bucket):
    host.write("a.zip", os.urandom(11 * MIB))
    options = into(bucket, **{"part-size": "5MiB", "multipart-from": "1MiB"})
    cloud.fault(service="s3", action="UploadPart", effect="latency", ms=60_000)
    process = host.start("upload", options)
    # A part on its way shows that the upload's id has reached the client.
    end = time.monotonic() + 20
    while not any(rule["hits"] for rule in cloud.faults()):
        assert time.monotonic() < end
    assert uploads(s3, options)
    process.terminate()
    done = finish(process)
    assert done.code == "cancelled"
    assert uploads(s3, options) == []


def test_no_bucket(host, s3, cloud):
    host.write("a.zip", b"x")
    for how in ("run", "plan"):
        done = host("upload", into("nobody-has-this"), how)
        assert done.code == "not-found", done.message
        assert "aws s3api create-bucket" in done.hint and PRIMARY in done.hint


def test_bucket_of_another_region_is_found(host, s3, cloud, bucket):
    host.write("a.zip", b"x")
    options = into(bucket, SECONDARY)
    host("upload", options | {"region": PRIMARY}).ok("changed")
    assert get(s3, options)["Body"].read() == b"x"


def test_missing_file(host, cloud):
    assert "a.zip is not there" in host("upload", into("bucket")).message
    assert "known after run" in host("upload", into("bucket"), "plan").ok("changed").changes[0]
    (host.work / "a.zip").mkdir()
    assert "not a regular file" in host("upload", into("bucket")).message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bucket": "s3://x/y"}, "URL"),
        ({"bucket": "UPPER"}, "no bucket name"),
        ({"key": ""}, "key"),
        ({"part-size": "1MiB"}, "part-size"),
        ({"multipart-from": "6GiB"}, "5GiB"),
        ({"metadata": {"a b": "1"}}, "header"),
        ({"metadata": {"a": "1\r\nx: y"}}, "line break"),
        ({"tags": {"a": 1}}, "no text"),
    ],
)
def test_check(host, change, text):
    done = host("upload", into("bucket") | change, "check")
    assert (done.code, text in done.message) == ("config", True), done.message
