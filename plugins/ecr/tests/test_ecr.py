"""Against the stand-in's ECR rules; runs inside tests/cloud/up --run."""

import base64
import json
import os
import urllib.request

import boto3
import pytest

import proxy as p

ACCOUNT, WEST, EAST = "111122223333", "us-west-2", "us-east-1"
LIFECYCLE = json.dumps({"rules": [{"rulePriority": 1, "selection": {
    "tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 9}, "action": {"type": "expire"}}]})
HOST = {region: f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com" for region in (WEST, EAST)}


def control(method, path, data=None):
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(os.environ["MRPIPE_CLOUD_CONTROL"] + path, body, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


def log():
    return [json.loads(line) for line in control("GET", "/log").splitlines()]


def mutating():
    return [line for line in control("GET", "/mutating").splitlines() if line]


@pytest.fixture(autouse=True)
def clean():
    control("POST", "/reset", {})
    control("POST", "/settings", {"ecr-token-seconds": 43200})
    yield


@pytest.fixture
def image(act, layout, repo):
    ecr = boto3.client("ecr", region_name=WEST)
    ecr.create_repository(repositoryName=repo, imageTagMutability="IMMUTABLE",
                          encryptionConfiguration={"encryptionType": "KMS"},
                          imageScanningConfiguration={"scanOnPush": True}, tags=[{"Key": "team", "Value": "x"}])
    ecr.put_lifecycle_policy(repositoryName=repo, lifecyclePolicyText=LIFECYCLE)
    digest = layout.tag("v1", layout.platforms())
    done = act("copy", from_="oci:layout:v1", to=[f"{HOST[WEST]}/{repo}"])
    assert done.result == "changed", done.last
    control("POST", "/reset", {})
    return digest


def digest_at(region, repo, tag="v1"):
    found = boto3.client("ecr", region_name=region).describe_images(repositoryName=repo, imageIds=[{"imageTag": tag}])
    return found["imageDetails"][0]["imageDigest"]


def test_copy_to_a_region_makes_the_repository(act, image, repo):
    done = act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to_regions=EAST)
    assert done.result == "changed", done.last
    assert digest_at(EAST, repo) == image
    made = boto3.client("ecr", region_name=EAST).describe_repositories(repositoryNames=[repo])["repositories"][0]
    assert made["imageTagMutability"] == "IMMUTABLE" and made["imageScanningConfiguration"]["scanOnPush"]
    policy = boto3.client("ecr", region_name=EAST).get_lifecycle_policy(repositoryName=repo)
    assert json.loads(policy["lifecyclePolicyText"]) == json.loads(LIFECYCLE)
    assert made["encryptionConfiguration"] == {"encryptionType": "KMS", "kmsKey": made["encryptionConfiguration"]["kmsKey"]}
    tags = boto3.client("ecr", region_name=EAST).list_tags_for_resource(resourceArn=made["repositoryArn"])["tags"]
    assert tags == [{"Key": "team", "Value": "x"}]
    copy = done.copies()[0]
    assert copy["region"] == EAST and copy["image"] == f"{HOST[EAST]}/{repo}:v1" and copy["digest"] == image
    control("POST", "/reset", {})
    again = act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to_regions=EAST)
    assert again.result == "unchanged" and not mutating()
    assert sorted(e["action"] for e in log()) == ["GetAuthorizationToken"] * 2 + ["HeadManifest"] * 2


def test_immutable_conflict(act, image, repo, layout):
    act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to_regions=EAST)
    other = layout.tag("v2", layout.image([500], 9))
    done = act("copy", from_="oci:layout:v2", to=[f"{HOST[EAST]}/{repo}:v1"])
    assert done.code == "conflict" and image in done.error and other in done.error and f"{HOST[EAST]}/{repo}" in done.error


def test_warm_sync_is_pages(act, image, repo, layout):
    names = [f"{i}.0.0" for i in range(12)]
    for i, name in enumerate(names):
        layout.tag(name, layout.image([1000 + i], 3))
    act("copy", from_=[f"oci:layout:{n}" for n in names], to=[f"{HOST[WEST]}/{repo}"])
    first = act("sync", from_=f"{HOST[WEST]}/{repo}", to_regions=EAST)
    assert first.outputs["summary"]["copied"] == 13, first.last
    control("POST", "/reset", {})
    second = act("sync", from_=f"{HOST[WEST]}/{repo}", to_regions=EAST)
    assert second.result == "unchanged" and second.outputs["summary"]["unchanged"] == 13
    assert [e["action"] for e in log()] == ["DescribeImages"] * 2


@pytest.fixture
def stays(image, act, layout, repo):
    """The repository is in the east already, with a layer of the next image."""
    assert act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to_regions=EAST).result == "changed"
    layout.tag("v2", layout.image([400_000, 5000, 6000], 1))
    control("POST", "/reset", {})


def test_requests_of_a_copy(act, stays, repo):
    """One question about all layers, then two requests for each that is missing; no HEAD of a blob, no ping."""
    done = act("copy", from_="oci:layout:v2", to=[f"{HOST[EAST]}/{repo}"])
    assert done.result == "changed", done.last
    actions = [entry["action"] for entry in log()]
    assert actions.count("BatchCheckLayerAvailability") == 1 and "HeadBlob" not in actions
    assert actions.count("StartUpload") == actions.count("PutUpload") == 3
    assert actions.count("PutManifest") == 1 and len(actions) == done.copies()[0]["requests"] + 1  # and the token
    assert done.copies()[0]["skipped-bytes"] == 400_000


def test_sync_of_a_registry_by_date(act, repo, layout):
    ecr = boto3.client("ecr", region_name=WEST)
    for part in ("one", "two", "other"):
        ecr.create_repository(repositoryName=f"{repo}/{part}")
    for i, name in enumerate(("b", "c", "a")):  # the last one pushed is not the last by name
        layout.tag(name, layout.image([100 + i], repo))
        act("copy", from_=f"oci:layout:{name}", to=[f"{HOST[WEST]}/{repo}/{part}" for part in ("one", "two", "other")])
    options = {"from_": HOST[WEST], "repositories": [f"{repo}/t*", f"{repo}/o?her", f"{repo}/[no]ne"], "to_regions": EAST}
    done = act("sync", **options, newest=1)
    assert done.outputs["summary"] == {"repositories": 3, "tags": 3, "unchanged": 0, "copied": 3, "deleted": 0}
    for image in done.outputs["images"]:
        part, _, tag = image["source"].partition(f"{repo}/")[2].partition(":")
        found = ecr.describe_images(repositoryName=f"{repo}/{part}")["imageDetails"]
        dates = {name: one["imagePushedAt"] for one in found for name in one["imageTags"]}
        assert dates[tag] == max(dates.values())
    assert act("sync", **options, pushed_within="1h").outputs["summary"]["copied"] == 6
    control("POST", "/reset", {})
    assert act("sync", **options, pushed_within="1h").result == "unchanged"
    assert {entry["action"] for entry in log()} == {"DescribeRepositories", "DescribeImages"}


EXPIRED = b"Your authorization token has expired. Reauthenticate and try again."


@pytest.mark.parametrize("method, path", [("HEAD", "/manifests/"), ("GET", "/manifests/"), ("POST", "/uploads/"),
                                          ("PUT", "/blobs/uploads/.*{small}"), ("PUT", "/blobs/uploads/.*{large}"),
                                          ("PUT", "/manifests/"), ("GET", "/blobs/sha256:{large}"),
                                          ("GET", "/blobs/sha256:{small}")])
def test_expired_token_in_the_middle(act, layout, repo, method, path):
    """ECR answers 403 with plain text then, whatever the time that was promised."""
    boto3.client("ecr", region_name=WEST).create_repository(repositoryName=repo)
    layout.tag("v1", layout.image([700_000, 3000], repo))
    assert act("copy", from_="oci:layout:v1", to=[f"{HOST[WEST]}/{repo}"]).result == "changed"
    by_size = sorted(layout.blobs.iterdir(), key=lambda file: file.stat().st_size)
    places = dict(pair.split("=") for pair in os.environ["MRPIPE_ENDPOINTS"].split(","))
    fronts = {region: p.Proxy(int(places[HOST[region]].rpartition(":")[2])) for region in (WEST, EAST)}
    places |= {HOST[region]: f"http://{front.host}" for region, front in fronts.items()}
    control("POST", "/reset", {})
    try:
        front = fronts[WEST if method == "GET" else EAST]
        path = path.format(small=by_size[2].name, large=by_size[-1].name)
        rule = front.rule(method, path, p.status(403, EXPIRED))
        done = act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to_regions=EAST,
                   env={"MRPIPE_ENDPOINTS": ",".join(f"{host}={url}" for host, url in places.items())})
        assert done.result == "changed", done.last
        assert rule.hits == 1 and digest_at(EAST, repo) == digest_at(WEST, repo)
        assert sum(e["action"] == "GetAuthorizationToken" for e in log()) == 3
    finally:
        for front in fronts.values():
            front.stop()


def test_login(act, image, repo):
    act.docker.mkdir()
    file = act.docker / "config.json"
    file.write_text(json.dumps({"auths": {"other.example": {"auth": "YTpi"}}, "HttpHeaders": {"a": "b"}}))
    done = act("login", regions=[WEST, EAST])
    assert done.result == "changed", done.last
    config = json.loads(file.read_text())
    assert config["auths"]["other.example"] == {"auth": "YTpi"} and config["HttpHeaders"] == {"a": "b"}
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    user, _, password = base64.b64decode(config["auths"][HOST[WEST]]["auth"]).decode().partition(":")
    assert user == "AWS" and password
    assert password in [f["value"] for f in done.frames if f.get("type") == "secret"]
    again = act("login", regions=[WEST, EAST])
    assert again.result == "unchanged" and not mutating()


def test_create_repository_and_align(act, image, repo):
    assert act("create-repository", repositories=[repo], regions=[EAST]).result == "changed"
    assert act("create-repository", repositories=[repo], regions=[EAST]).result == "unchanged"
    ecr = boto3.client("ecr", region_name=EAST)
    ecr.put_image_tag_mutability(repositoryName=repo, imageTagMutability="MUTABLE")
    assert act("create-repository", how="plan", repositories=[repo], regions=[EAST]).changes
    assert act("create-repository", repositories=[repo], regions=[EAST]).result == "changed"
    assert ecr.describe_repositories(repositoryNames=[repo])["repositories"][0]["imageTagMutability"] == "IMMUTABLE"


def test_replicate(act, image, repo):
    first = act("replicate", prefixes=["t/"], regions=[EAST])
    assert first.outputs["rules"], first.last
    control("POST", "/reset", {})
    again = act("replicate", prefixes=["t/"], regions=[EAST])
    assert again.result == "unchanged" and not mutating()


def test_replicate_copies_what_is_late(act, image, repo):
    """The stand-in replicates nothing by itself, so the status stays IN_PROGRESS until we have copied."""
    source = f"{HOST[WEST]}/{repo}:v1"
    rules = {"prefixes": ["t/"], "regions": [EAST], "images": [{"name": "service", "imageUri": source}]}
    refused = act("replicate", **rules, wait="1s", copy=False)
    assert refused.code == "timeout" and "copy" in refused.hint, refused.last
    assert f"{source} is not replicated to {EAST}" in refused.error
    planned = act("replicate", how="plan", **rules, wait="1s", copy=False)
    assert planned.result == "unchanged" and planned.outputs["images"][0]["status"] == "late", planned.last
    done = act("replicate", **rules, wait="1s", copy=True)
    assert done.result == "changed", done.last
    assert done.outputs["images"] == [{"image": source, "region": EAST, "status": "late"}]
    late = done.outputs["late"][0]["copies"][0]
    assert late["region"] == EAST and late["digest"] == image and late["changed"]
    assert digest_at(EAST, repo) == image
    control("POST", "/reset", {})
    again = act("replicate", **rules, wait="1s", copy=True)
    assert again.result == "unchanged" and not mutating()
    assert again.outputs["images"] == [{"image": source, "region": EAST, "status": "complete"}]


def test_replicate_keeps_the_rules_of_others(act, image, repo):
    ecr = boto3.client("ecr", region_name=WEST)
    theirs = {"destinations": [{"region": "eu-west-1", "registryId": ACCOUNT}],
              "repositoryFilters": [{"filter": "x/", "filterType": "PREFIX_MATCH"}]}
    ecr.put_replication_configuration(replicationConfiguration={"rules": [theirs]})
    assert act("replicate", prefixes=["t/"], regions=[EAST]).result == "changed"
    rules = ecr.describe_registry()["replicationConfiguration"]["rules"]
    assert theirs in rules and len(rules) == 2
    # What a wider rule does already needs no rule.
    assert act("replicate", prefixes=["t/deeper/"], regions=[EAST]).result == "unchanged"
    ecr.put_replication_configuration(replicationConfiguration={"rules": []})


def test_registry_policy_of_the_receiver(act):
    rules = {"allow_from": "444455556666", "regions": [EAST]}
    assert act("replicate", how="plan", **rules).result == "changed" and not mutating()
    assert act("replicate", **rules).result == "changed"
    policy = json.loads(boto3.client("ecr", region_name=EAST).get_registry_policy()["policyText"])
    said = policy["Statement"][0]
    assert said["Principal"] == {"AWS": "arn:aws:iam::444455556666:root"}
    assert set(said["Action"]) == {"ecr:CreateRepository", "ecr:ReplicateImage"}
    control("POST", "/reset", {})
    assert act("replicate", **rules).result == "unchanged" and not mutating()


def test_map_at_regions(act, image, repo):
    other = repo + "-there"
    done = act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to_regions=EAST, map={repo: other, "x": "y"})
    assert done.result == "changed", done.last
    assert digest_at(EAST, other) == image


def test_sync_deletes_behind_a_guard(act, image, repo, layout):
    act("sync", from_=f"{HOST[WEST]}/{repo}", to_regions=EAST)
    layout.tag("extra", layout.image([77], 9))
    act("copy", from_="oci:layout:extra", to=[f"{HOST[EAST]}/{repo}"])
    refused = act("sync", from_=f"{HOST[WEST]}/{repo}", to_regions=EAST, delete="extra")
    assert refused.code == "conflict" and "1 of 2" in refused.error
    forced = act("sync", from_=f"{HOST[WEST]}/{repo}", to_regions=EAST, delete="extra", force=True)
    assert forced.outputs["summary"]["deleted"] == 1
    assert act("sync", from_=f"{HOST[WEST]}/{repo}", to_regions=EAST, delete="extra").result == "unchanged"


def test_causes_fit_into_messages(act, layout):
    """The longest part of a message is names; what went wrong must be read all the same."""
    long = "team-of-the-mysfits/services/" + "core-service-of-the-application-" * 3
    repo = long + "end"
    layout.tag("v1", layout.image([700_000], repo))
    assert act("copy", from_="oci:layout:v1", to=[f"{HOST[WEST]}/{repo}"]).result == "changed"
    for action in ("PutUpload", "PutManifest"):
        control("POST", "/faults", {"service": "registry", "action": action, "effect": "status", "status": 400})
        done = act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to_regions=EAST)
        assert ": HTTP 400: " in done.error, done.error
        assert done.error.startswith(f"copy {HOST[WEST]}") and f"{HOST[EAST]}/{repo}" in done.error
        control("POST", "/reset", {})


def test_source_repository_that_is_not_there(act, repo):
    done = act("sync", from_=f"{HOST[WEST]}/{repo}", to_regions=EAST)
    assert done.code == "not-found" and f"{HOST[WEST]}/{repo}" in done.error


@pytest.mark.parametrize("fault", [
    {"service": "registry", "action": "PutUpload", "effect": "cut-request", "bytes": 1000, "count": 2},
    {"service": "registry", "action": "PutManifest", "effect": "lost-answer", "count": 1},
    {"service": "blob", "action": "GetLayer", "effect": "cut-answer", "bytes": 1000, "count": 2},
    {"service": "registry", "action": "StartUpload", "effect": "status", "status": 429, "count": 2},
    {"service": "ecr", "action": "BatchCheckLayerAvailability", "effect": "throttle", "count": 1},
    {"service": "ecr", "action": "CreateRepository", "effect": "lost-answer", "count": 1},
])
def test_faults_recover(act, image, repo, fault):
    control("POST", "/faults", fault)
    done = act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to_regions=EAST)
    assert done.result == "changed", done.last
    assert digest_at(EAST, repo) == image


def test_a_repository_that_may_not_be_made_is_asked_for_once(act, image, repo):
    control("POST", "/faults", {"service": "ecr", "action": "CreateRepository", "effect": "status", "status": 403})
    done = act("copy", from_=f"{HOST[WEST]}/{repo}:v1", to=[f"{HOST[EAST]}/{repo}/not"])
    assert done.code == "auth" and f"create repository {repo}/not in {EAST}" in done.error and done.hint, done.last
    assert len([one for one in done.changes if one.startswith("create")]) == 1
    assert len([one for one in log() if one["action"] == "CreateRepository"]) == 1
    control("DELETE", "/faults")


def test_slips_at_replicate(act, image, repo):
    here = act("replicate", prefixes=["t/"], regions=[WEST])
    assert here.code == "config" and WEST in here.error and "source" in here.hint and not mutating()
    gone = f"{HOST[WEST]}/{repo}:gone"
    done = act("replicate", prefixes=["t/x", "t/y"], regions=[EAST], images=gone, wait="1s")
    assert done.code == "not-found" and done.error == f"{gone} does not exist" and done.hint, done.last
    assert done.changes == [f"replicate t/x*, t/y* from {WEST} to {EAST}: a rule of the registry"]
    boto3.client("ecr", region_name=WEST).put_replication_configuration(replicationConfiguration={"rules": []})
