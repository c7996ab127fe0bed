"""The stand-in's AWS side against boto3: signatures, models, S3's rules, rollouts, faults, life and end."""

import base64
import hashlib
import os
import select
import subprocess
import time
import uuid
import zlib

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, ConnectionClosedError, ParamValidationError
from conftest import EAST, HERE, WEST, http, run


def name():
    return "t" + uuid.uuid4().hex[:10]


def refused(code, call, **arguments):
    with pytest.raises(ClientError) as problem:
        call(**arguments)
    assert problem.value.response["Error"]["Code"] == code
    return problem.value.response


# Life and end.


def test_stops_with_its_parent():
    script = f'eval "$({HERE}/up)"; echo $MRPIPE_CLOUD_PID $MRPIPE_CLOUD_DIR; read line'
    shell = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid, folder = shell.stdout.readline().split()
    handle = os.pidfd_open(int(pid))
    assert os.path.exists(folder)
    shell.communicate("\n")
    assert select.select([handle], [], [], 20)[0], "still running"
    assert not os.path.exists(folder)


def test_run_returns_the_status_of_the_command():
    assert subprocess.run([f"{HERE}/up", "--run", "sh", "-c", "exit 7"]).returncode == 7


# Signatures.


def test_wrong_secret_in_each_protocol(cloud):
    wrong = {"aws_access_key_id": os.environ["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": "wrong"}
    refused("InvalidSignatureException", cloud.client("ecs", **wrong).list_clusters)
    refused("SignatureDoesNotMatch", cloud.client("sts", **wrong).get_caller_identity)
    refused("SignatureDoesNotMatch", cloud.client("s3", **wrong).list_buckets)
    nobody = wrong | {"aws_access_key_id": "AKIANOBODY"}
    refused("UnrecognizedClientException", cloud.client("ecs", **nobody).list_clusters)
    refused("InvalidClientTokenId", cloud.client("sts", **nobody).get_caller_identity)
    refused("InvalidAccessKeyId", cloud.client("s3", **nobody).list_buckets)


def test_clock_skew(cloud):
    cloud.control("POST", "/settings", {"clock-offset": 3600})
    try:
        refused("RequestTimeTooSkewed", cloud.client("s3").list_buckets)
        refused("InvalidSignatureException", cloud.client("ecs").list_clusters)
    finally:
        cloud.control("POST", "/settings", {"clock-offset": 0})


def test_temporary_keys(cloud):
    sts = cloud.client("sts")
    given = sts.assume_role(RoleArn="arn:aws:iam::111122223333:role/x", RoleSessionName="xx")["Credentials"]
    keys = {"aws_access_key_id": given["AccessKeyId"], "aws_secret_access_key": given["SecretAccessKey"]}
    cloud.client("ecs", aws_session_token=given["SessionToken"], **keys).list_clusters()
    refused("UnrecognizedClientException", cloud.client("ecs", aws_session_token="bad", **keys).list_clusters)
    key = {"access-key": "ASIAOLD", "secret": "s", "token": "t", "expires": time.time() - 1}
    cloud.control("POST", "/keys", key)
    old = {"aws_access_key_id": "ASIAOLD", "aws_secret_access_key": "s", "aws_session_token": "t"}
    refused("ExpiredTokenException", cloud.client("ecs", **old).list_clusters)
    refused("ExpiredToken", cloud.client("s3", **old).list_buckets)


def test_bodies_against_the_model(cloud):
    loose = boto3.session.Session().client("ecr", region_name=WEST)
    loose.meta.events.register("before-call.ecr.*", lambda params, **_: params.update(body=b'{"repositoryNam": "x"}'))
    answer = refused("ValidationException", loose.create_repository, repositoryName="xx")
    assert "repositoryName is required" in answer["Error"]["Message"]
    assert "repositoryNam is not a member" in answer["Error"]["Message"]
    with pytest.raises(ParamValidationError):
        cloud.client("ecr").create_repository(repositoryName="x")


def test_forms_against_the_model(cloud):
    sts = cloud.client("sts")
    sts.meta.events.register("before-call.sts.*", lambda params, **_: params["body"].update(Odd="1", DurationSeconds="x"))
    answer = refused("ValidationError", sts.assume_role, RoleArn="arn:aws:iam::111122223333:role/x", RoleSessionName="xx")
    assert "Odd is not a member" in answer["Error"]["Message"]
    assert "DurationSeconds must be a whole number" in answer["Error"]["Message"]
    policy = '{"Version": "2012-10-17", "Statement": []}'
    made = cloud.client("iam").create_role(RoleName=name(), AssumeRolePolicyDocument=policy, Tags=[{"Key": "a", "Value": "b"}])
    assert made["Role"]["Tags"] == [{"Key": "a", "Value": "b"}]


# S3.


def bucket(cloud, region=WEST):
    made = name()
    where = {} if region == EAST else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    cloud.client("s3", region).create_bucket(Bucket=made, **where)
    return made


class GivenHash(S3SigV4Auth):
    """Signs with whatever x-amz-content-sha256 the test gave."""

    def payload(self, request):
        return request.headers.get("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")

    def _modify_request_before_signing(self, request):
        given = request.headers.get("X-Amz-Content-SHA256")
        super()._modify_request_before_signing(request)
        del request.headers["X-Amz-Content-SHA256"]
        if given is not None:
            request.headers["X-Amz-Content-SHA256"] = given


def raw_put(path, body, headers, extra=None):
    url = os.environ["AWS_ENDPOINT_URL"] + path
    request = AWSRequest("PUT", url, headers=headers, data=body)
    keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    GivenHash(keys, "s3", WEST).add_auth(request)
    status, _, text = http("PUT", url, dict(request.headers.items()) | (extra or {}), body)
    return status, text.decode().partition("<Code>")[2].partition("</Code>")[0]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_payload_hash_and_checksums(cloud):
    path, body = f"/{bucket(cloud)}/key", b"hello"
    right = {"X-Amz-Content-SHA256": sha256(body)}
    unsigned = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert raw_put(path, body, right) == (200, "")
    assert raw_put(path, body, unsigned | {"x-amz-checksum-crc32": crc}) == (200, "")
    assert raw_put(path, body, {}) == (400, "InvalidRequest")
    assert raw_put(path, body, {"X-Amz-Content-SHA256": "odd"}) == (400, "InvalidArgument")
    assert raw_put(path, body, {"X-Amz-Content-SHA256": sha256(b"x")}) == (400, "XAmzContentSHA256Mismatch")
    assert raw_put(path, body, right | {"Content-MD5": "bad"}) == (400, "InvalidDigest")
    other = base64.b64encode(hashlib.md5(b"x").digest()).decode()
    assert raw_put(path, body, right | {"Content-MD5": other}) == (400, "BadDigest")
    assert raw_put(path, body, unsigned | {"x-amz-checksum-crc32": "AAAAAA=="}) == (400, "BadDigest")
    assert raw_put(path, body, right, {"x-amz-meta-late": "1"}) == (403, "AccessDenied")


@pytest.mark.parametrize("kind", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksum_kinds(cloud, kind):
    s3, made = cloud.client("s3"), bucket(cloud)
    s3.put_object(Bucket=made, Key="k", Body=b"hello", ChecksumAlgorithm=kind)
    assert s3.get_object(Bucket=made, Key="k")["Body"].read() == b"hello"
    bad = base64.b64encode(bytes({"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}[kind])).decode()
    refused("BadDigest", s3.put_object, Bucket=made, Key="k", Body=b"hello", **{f"Checksum{kind}": bad})


def test_streaming_trailer(cloud):
    made, body = bucket(cloud), b"0123456789" * 1000
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    headers = {
        "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-decoded-content-length": str(len(body)),
        "content-encoding": "aws-chunked",
    }
    wire = b"%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % (len(body), body, crc.encode())
    assert raw_put(f"/{made}/k", wire, headers) == (200, "")
    found = cloud.client("s3").get_object(Bucket=made, Key="k")
    assert found["Body"].read() == body and not found.get("ContentEncoding")
    wrong = wire.replace(crc.encode(), b"AAAAAA==")
    assert raw_put(f"/{made}/k", wrong, headers) == (400, "BadDigest")
    assert raw_put(f"/{made}/k", wire, headers | {"x-amz-decoded-content-length": "5"}) == (400, "IncompleteBody")


def test_bucket_of_another_region(cloud):
    made = bucket(cloud, EAST)
    raw = {"X-Amz-Content-SHA256": sha256(b"x")}
    assert raw_put(f"/{made}/k", b"x", raw) == (301, "PermanentRedirect")
    # botocore follows by signing again for the right region.
    cloud.client("s3", WEST, retries=3).put_object(Bucket=made, Key="k", Body=b"x")
    assert {(line["region"], line["status"]) for line in cloud.log()[-2:]} == {(WEST, 301), (EAST, 200)}


# ECS.


def service(cloud, **more):
    ecs, cluster = cloud.client("ecs"), name()
    ecs.create_cluster(clusterName=cluster)
    for version in ("1", "2"):
        containers = [{"name": "service", "image": f"core:{version}", "memory": 64}]
        ecs.register_task_definition(family=cluster, pidMode="task", containerDefinitions=containers)
    ecs.create_service(cluster=cluster, serviceName="core", taskDefinition=f"{cluster}:1", desiredCount=2, **more)

    def look():
        return ecs.describe_services(cluster=cluster, services=["core"])["services"][0]

    look()
    return ecs, cluster, look


def deploy(ecs, cluster):
    answer = ecs.update_service(cluster=cluster, service="core", taskDefinition=f"{cluster}:2")
    return answer["service"]["deployments"][0]["id"]


def test_rollout_completes(cloud):
    ecs, cluster, look = service(cloud)
    cloud.rollout(service="core", polls=2)
    mine = deploy(ecs, cluster)
    states = []
    for _ in range(3):
        found = look()["deployments"]
        states.append((found[0]["id"] == mine, found[0]["rolloutState"], len(found)))
    assert states == [(True, "IN_PROGRESS", 2), (True, "IN_PROGRESS", 2), (True, "COMPLETED", 1)]
    assert look()["runningCount"] == 2 and look()["events"][0]["message"].endswith("steady state.")
    tasks = ecs.list_tasks(cluster=cluster, serviceName="core")["taskArns"]
    assert [task["startedBy"] for task in ecs.describe_tasks(cluster=cluster, tasks=tasks)["tasks"]] == [mine, mine]
    same = ecs.update_service(cluster=cluster, service="core", taskDefinition=f"{cluster}:2")
    assert same["service"]["deployments"][0]["id"] == mine


def test_rollout_fails_and_rolls_back(cloud):
    breaker = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
    ecs, cluster, look = service(cloud, deploymentConfiguration=breaker)
    old = look()["taskDefinition"]
    cloud.rollout(service="core", mode="fail", polls=1, exit_code=3, stop_code="EssentialContainerExited")
    mine = deploy(ecs, cluster)
    assert look()["deployments"][0]["failedTasks"] == 1
    failed = look()
    states = [(each["id"] == mine, each["status"], each["rolloutState"]) for each in failed["deployments"]]
    assert states == [(False, "PRIMARY", "IN_PROGRESS"), (True, "ACTIVE", "FAILED")]
    assert failed["taskDefinition"] == old
    look()
    end = look()["deployments"]
    assert len(end) == 1 and end[0]["id"] != mine and end[0]["rolloutState"] == "COMPLETED"
    stopped = ecs.list_tasks(cluster=cluster, serviceName="core", desiredStatus="STOPPED")["taskArns"]
    task = ecs.describe_tasks(cluster=cluster, tasks=stopped)["tasks"][0]
    assert task["startedBy"] == mine and task["containers"][0]["exitCode"] == 3


def test_rollout_fails_without_rollback_or_hangs(cloud):
    ecs, cluster, look = service(cloud)
    cloud.rollout(service="core", mode="fail", rollback=False, count=1)
    mine = deploy(ecs, cluster)
    found = look()["deployments"]
    assert (found[0]["id"], found[0]["rolloutState"], found[0]["status"]) == (mine, "FAILED", "PRIMARY")
    cloud.rollout(service="core", mode="stuck")
    ecs.update_service(cluster=cluster, service="core", forceNewDeployment=True)
    assert {look()["deployments"][0]["rolloutState"] for _ in range(5)} == {"IN_PROGRESS"}


def test_task_definition_keeps_what_was_registered(cloud):
    ecs, cluster, _ = service(cloud)
    assert ecs.describe_task_definition(taskDefinition=cluster)["taskDefinition"]["pidMode"] == "task"
    ecs.deregister_task_definition(taskDefinition=f"{cluster}:2")
    refused("ClientException", ecs.update_service, cluster=cluster, service="core", taskDefinition=f"{cluster}:2")


# Faults and the log.


def test_status_and_throttle(cloud):
    cloud.faults(service="^ecr$", action="Describe", effect="status", status=503, count=1)
    cloud.faults(service="^s3$", effect="throttle", count=1)
    cloud.faults(service="^ecs$", effect="throttle", count=1)
    refused("ServiceUnavailable", cloud.client("ecr").describe_repositories)
    refused("SlowDown", cloud.client("s3").list_buckets)
    refused("ThrottlingException", cloud.client("ecs").list_clusters)
    cloud.client("ecr").describe_repositories()


def test_lost_answer_does_the_work(cloud):
    made, ecr = name(), cloud.client("ecr")
    cloud.faults(action="CreateRepository", effect="lost-answer", count=1)
    with pytest.raises(ConnectionClosedError):
        ecr.create_repository(repositoryName=made)
    refused("RepositoryAlreadyExistsException", ecr.create_repository, repositoryName=made)


def test_cut_request_does_nothing(cloud):
    s3, made = cloud.client("s3"), bucket(cloud)
    cloud.faults(service="^s3$", action="PutObject", effect="cut-request", bytes=1000, count=1)
    with pytest.raises(Exception):
        s3.put_object(Bucket=made, Key="k", Body=bytes(2_000_000))
    refused("404", s3.head_object, Bucket=made, Key="k")


def test_log_tells_what_changes(cloud):
    made, s3 = bucket(cloud), cloud.client("s3")
    s3.put_object(Bucket=made, Key="k", Body=b"x")
    assert [line["action"] for line in cloud.mutating()] == ["CreateBucket", "PutObject"]
    cloud.control("POST", "/reset", {})
    s3.head_object(Bucket=made, Key="k")
    cloud.client("ecr").describe_repositories()
    cloud.token()
    assert cloud.mutating() == [] and [line["auth"] for line in cloud.log()] == ["ok"] * 3


def test_ctl(cloud):
    ctl = f"{HERE}/ctl"
    run(ctl, "faults", '{"service": "^sts$", "effect": "status", "status": 500, "count": 1}')
    refused("InternalFailure", cloud.client("sts").get_caller_identity)
    bucket(cloud)
    assert "500 us-west-2  sts" in run(ctl, "log", "--short").stdout
    done = run(ctl, "mutating", "--none", check=False)
    assert done.returncode == 1 and done.stdout.endswith("1 mutating requests\n")
    run(ctl, "reset")
    assert run(ctl, "mutating", "--none").stdout == "0 mutating requests\n"
    wrong = run(ctl, "faults", '{"effect": "odd"}', check=False)
    assert wrong.returncode != 0 and "effect must be one of" in wrong.stderr
