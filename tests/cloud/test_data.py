"""The stand-in's registries and git servers against skopeo, git, the CLI's helper and git-remote-codecommit."""

import base64
import gzip
import hashlib
import json
import os
import sys
import uuid

import pytest
from conftest import ACCOUNT, EAST, WEST, http, run
from test_cloud import name, refused


def blob(folder, data):
    digest = hashlib.sha256(data).hexdigest()
    (folder / "blobs" / "sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def layout(folder, layer):
    """An OCI layout with one image of one layer; returns the image's digest."""
    (folder / "blobs" / "sha256").mkdir(parents=True)
    kind = "application/vnd.oci.image."
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind + "manifest.v1+json",
        "config": {"mediaType": kind + "config.v1+json"} | blob(folder, json.dumps(config).encode()),
        "layers": [{"mediaType": kind + "layer.v1.tar+gzip"} | blob(folder, gzip.compress(layer, mtime=0))],
    }
    image = {"mediaType": kind + "manifest.v1+json"} | blob(folder, json.dumps(manifest).encode())
    index = {"schemaVersion": 2, "manifests": [image | {"annotations": {"org.opencontainers.image.ref.name": "x"}}]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return image["digest"], manifest


def skopeo(cloud, source, region, target, check=True, source_region=WEST):
    def creds(where):
        return base64.b64decode(cloud.token(where)).decode()

    words = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", creds(region)]
    if source.startswith("docker:"):
        words += ["--src-tls-verify=false", "--src-creds", creds(source_region)]
    return run(*words, source, f"docker://{cloud.registry(region)}/{target}", check=check)


@pytest.fixture
def image(cloud, tmp_path):
    """A repository in both regions with an image pushed in the west."""
    made = f"team/{name()}"
    for region in (WEST, EAST):
        cloud.client("ecr", region).create_repository(repositoryName=made)
    digest, manifest = layout(tmp_path / "oci", os.urandom(300_000))
    skopeo(cloud, f"oci:{tmp_path}/oci:x", WEST, f"{made}:v1")
    return made, digest, manifest


def test_copy_between_regions(cloud, image):
    made, digest, manifest = image
    skopeo(cloud, f"docker://{cloud.registry(WEST)}/{made}:v1", EAST, f"{made}:v1")
    for region in (WEST, EAST):
        detail = cloud.client("ecr", region).describe_images(repositoryName=made)["imageDetails"][0]
        assert (detail["imageDigest"], detail["imageTags"]) == (digest, ["v1"])
        assert detail["imageSizeInBytes"] == manifest["layers"][0]["size"]
    found = cloud.client("ecr", EAST).batch_get_image(repositoryName=made, imageIds=[{"imageTag": "v1"}, {"imageTag": "no"}])
    assert "sha256:" + hashlib.sha256(found["images"][0]["imageManifest"].encode()).hexdigest() == digest
    assert found["failures"][0]["failureCode"] == "ImageNotFound"
    assert cloud.client("ecr").list_images(repositoryName=made)["imageIds"] == [{"imageDigest": digest, "imageTag": "v1"}]


def test_registry_refusals(cloud, image):
    made, _, _ = image
    base = f"http://{cloud.registry()}/v2/"
    status, headers, _ = http("GET", base)
    assert status == 401 and headers["WWW-Authenticate"].startswith('Basic realm="https://')
    assert http("GET", base, {"Authorization": f"Basic {cloud.token(EAST)}"})[0] == 401
    right = {"Authorization": f"Basic {cloud.token()}"}
    assert http("GET", base, right)[0] == 200
    status, _, body = http("POST", base + "no/such/blobs/uploads/", right, b"")
    assert (status, json.loads(body)["errors"][0]["code"]) == (404, "NAME_UNKNOWN")
    status, _, body = http("GET", base + f"{made}/manifests/none", right)
    assert (status, json.loads(body)["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")
    cloud.control("POST", "/settings", {"ecr-token-seconds": -1})
    try:
        status, _, body = http("GET", base, {"Authorization": f"Basic {cloud.token()}"})
        assert (status, json.loads(body)["errors"][0]["code"]) == (403, "DENIED")
    finally:
        cloud.control("POST", "/settings", {"ecr-token-seconds": 43200})


def test_blobs_come_from_another_host(cloud, image):
    made, _, manifest = image
    digest = manifest["layers"][0]["digest"]
    right = {"Authorization": f"Basic {cloud.token()}"}
    status, headers, _ = http("GET", f"http://{cloud.registry()}/v2/{made}/blobs/{digest}", right)
    url = headers["Location"]
    assert status == 307 and cloud.registry() not in url
    status, _, body = http("GET", url)
    assert status == 200 and "sha256:" + hashlib.sha256(body).hexdigest() == digest
    status, headers, part = http("GET", url, {"Range": "bytes=100-199"})
    assert (status, part) == (206, body[100:200]) and headers["Content-Range"] == f"bytes 100-199/{len(body)}"
    status, _, text = http("GET", url, right)
    assert status == 400 and b"Only one auth mechanism allowed" in text
    assert http("GET", url[:-1] + "x")[0] == 403
    layer = cloud.client("ecr").get_download_url_for_layer(repositoryName=made, layerDigest=digest)
    assert http("GET", layer["downloadUrl"])[2] == body


def test_immutable_tags_and_mounts(cloud, image, tmp_path):
    made, _, manifest = image
    cloud.client("ecr").put_image_tag_mutability(repositoryName=made, imageTagMutability="IMMUTABLE")
    layout(tmp_path / "other", os.urandom(100))
    done = skopeo(cloud, f"oci:{tmp_path}/other:x", WEST, f"{made}:v1", check=False)
    assert done.returncode == 1 and "cannot be overwritten because the repository is immutable" in done.stderr
    skopeo(cloud, f"oci:{tmp_path}/oci:x", WEST, f"{made}:v1")
    right = {"Authorization": f"Basic {cloud.token()}"}
    query = f"mount={manifest['layers'][0]['digest']}&from={made}"
    assert http("POST", f"http://{cloud.registry()}/v2/{made}/blobs/uploads/?{query}", right, b"")[0] == 202


def test_layer_and_image_calls(cloud, image):
    made, digest, manifest = image
    east = cloud.client("ecr", EAST)
    wanted = [manifest["config"], manifest["layers"][0]]
    digests = [each["digest"] for each in wanted]
    layers = east.batch_check_layer_availability(repositoryName=made, layerDigests=digests)["layers"]
    assert [each["layerAvailability"] for each in layers] == ["UNAVAILABLE", "UNAVAILABLE"]
    text = cloud.client("ecr").batch_get_image(repositoryName=made, imageIds=[{"imageTag": "v1"}])["images"][0]
    put = {"repositoryName": made, "imageManifest": text["imageManifest"], "imageTag": "v2"}
    refused("LayersNotFoundException", east.put_image, **put)
    for each in digests:
        url = cloud.client("ecr").get_download_url_for_layer(repositoryName=made, layerDigest=each)["downloadUrl"]
        data = http("GET", url)[2]
        upload = east.initiate_layer_upload(repositoryName=made)["uploadId"]
        part = {"partFirstByte": 0, "partLastByte": len(data) - 1, "layerPartBlob": data}
        east.upload_layer_part(repositoryName=made, uploadId=upload, **part)
        east.complete_layer_upload(repositoryName=made, uploadId=upload, layerDigests=[each])
    assert east.put_image(**put)["image"]["imageId"]["imageDigest"] == digest
    refused("ImageAlreadyExistsException", east.put_image, **put)
    refused("RepositoryNotEmptyException", east.delete_repository, repositoryName=made)
    rules = [{"destinations": [{"region": EAST, "registryId": ACCOUNT}]}]
    cloud.client("ecr").put_replication_configuration(replicationConfiguration={"rules": rules})
    status = cloud.client("ecr").describe_image_replication_status(repositoryName=made, imageId={"imageTag": "v1"})
    assert status["replicationStatuses"][0]["status"] == "COMPLETE"


@pytest.mark.parametrize("rule", [{"effect": "cut-request", "bytes": 1000}, {"effect": "throttle"}, {"effect": "lost-answer"}])
def test_registry_faults(cloud, image, tmp_path, rule):
    made, _, _ = image
    layout(tmp_path / "other", os.urandom(200_000))
    cloud.faults(service="^registry$", action="^(AppendUpload|PutUpload)$", count=1, **rule)
    assert skopeo(cloud, f"oci:{tmp_path}/other:x", WEST, f"{made}:v2", check=False).returncode == 1
    skopeo(cloud, f"oci:{tmp_path}/other:x", WEST, f"{made}:v2")


def test_docker_builds_the_same_image_twice(cloud, tmp_path):
    made = name()
    cloud.client("ecr").create_repository(repositoryName=made)
    (tmp_path / "hello").write_text("hello\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY hello /hello\n")
    target = f"{ACCOUNT}.dkr.ecr.{WEST}.amazonaws.com/{made}:1"
    run("sh", "-c", f"$(aws ecr get-login --no-include-email --region {WEST})")
    for text in ("digest: sha256:", "nothing sent"):
        os.utime(tmp_path / "hello")
        run("docker", "build", "-t", "mine:1", str(tmp_path))
        run("docker", "tag", "mine:1", target)
        assert text in run("docker", "push", target).stdout
        left = [line["action"] for line in cloud.mutating() if line["service"] == "registry"]
        cloud.control("POST", "/reset", {})
    assert left == []


# git.


@pytest.fixture
def source(cloud, tmp_path, monkeypatch):
    """A work tree with a commit, and git set up with the CLI's credential helper."""
    made = name()
    for region in (WEST, EAST):
        cloud.client("codecommit", region).create_repository(repositoryName=made)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    # The CLI takes --ignore-host-check for get only.
    helper = '!f() { if [ "$1" = get ]; then aws codecommit credential-helper --ignore-host-check get; fi; }; f'
    config = ("credential.helper", helper), ("credential.UseHttpPath", "true")
    for key, value in config + (("user.email", "a@b.example"), ("user.name", "A")):
        run("git", "config", "--global", key, value)
    work = tmp_path / "work"
    run("git", "init", "-q", "-b", "trunk", str(work))
    (work / "file").write_bytes(os.urandom(3_000_000))
    for words in (("add", "."), ("commit", "-qm", "one"), ("tag", "v1"), ("branch", "dev")):
        run("git", "-C", str(work), *words)
    return made, work


def test_push_and_clone_with_the_cli_helper(cloud, source, tmp_path, monkeypatch):
    made, work = source
    west = f"http://{cloud.git()}/v1/repos/{made}"
    run("git", "-C", str(work), "push", "-q", west, "trunk", "dev", "v1")
    pushes = [line for line in cloud.log() if line["action"] == "GitPush"]
    assert [line["mutating"] for line in pushes] == [False, True], "the probe, then the pack"
    run("git", "clone", "-q", "--mirror", west, str(tmp_path / "mirror"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", EAST)
    monkeypatch.setenv("AWS_REGION", EAST)
    east = f"http://{cloud.git(EAST)}/v1/repos/{made}"
    run("git", "-C", str(tmp_path / "mirror"), "push", "-q", "--mirror", east)
    assert "refs/tags/v1" in run("git", "ls-remote", east).stdout
    # A password for another region, then one of a wrong secret.
    assert "error: 403" in run("git", "ls-remote", west, check=False).stderr
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "error: 403" in run("git", "ls-remote", east, check=False).stderr


def test_git_remote_codecommit_signs_what_we_expect(cloud, source):
    made, work = source
    code = (
        "import os, git_remote_codecommit as g, botocore.session as s; session = s.Session()\n"
        f"print(g.git_url({made!r}, 'v1', {WEST!r}, session.get_credentials()))"
    )
    words = {"CODE_COMMIT_ENDPOINT": cloud.git()}
    url = run(sys.executable, "-c", code, env=os.environ | words).stdout.strip().replace("https://", "http://")
    run("git", "-C", str(work), "push", "-q", url, "trunk")
    assert http("GET", f"http://{cloud.git()}/v1/repos/{made}/info/refs?service=git-upload-pack")[0] == 401
    absent = run("git", "ls-remote", f"http://{cloud.git()}/v1/repos/{uuid.uuid4().hex}", check=False)
    assert "not found" in absent.stderr


def test_codecommit_calls(cloud, source):
    made, work = source
    api = cloud.client("codecommit")
    assert "defaultBranch" not in api.get_repository(repositoryName=made)["repositoryMetadata"]
    run("git", "-C", str(work), "push", "-q", f"http://{cloud.git()}/v1/repos/{made}", "trunk")
    tip = run("git", "-C", str(work), "rev-parse", "HEAD").stdout.strip()
    assert api.get_repository(repositoryName=made)["repositoryMetadata"]["defaultBranch"] == "trunk"
    assert api.get_branch(repositoryName=made, branchName="trunk")["branch"]["commitId"] == tip
    api.create_branch(repositoryName=made, branchName="next", commitId=tip)
    refused("DefaultBranchCannotBeDeletedException", api.delete_branch, repositoryName=made, branchName="trunk")
    api.update_default_branch(repositoryName=made, defaultBranchName="next")
    api.delete_branch(repositoryName=made, branchName="trunk")
    assert api.list_branches(repositoryName=made)["branches"] == ["next"]
    assert api.get_commit(repositoryName=made, commitId=tip)["commit"]["message"] == "one"
    refused("BranchDoesNotExistException", api.get_branch, repositoryName=made, branchName="none")
    api.create_repository(repositoryName=made + "-2", tags={"team": "core"}, repositoryDescription="second")
    arn = api.get_repository(repositoryName=made + "-2")["repositoryMetadata"]["Arn"]
    api.tag_resource(resourceArn=arn, tags={"stage": "prod"})
    assert api.list_tags_for_resource(resourceArn=arn)["tags"] == {"team": "core", "stage": "prod"}
    cloud.control("POST", "/settings", {"codecommit-page": 1})
    pages = list(api.get_paginator("list_repositories").paginate())
    cloud.control("POST", "/settings", {"codecommit-page": 1000})
    names = {each["repositoryName"] for page in pages for each in page["repositories"]}
    assert len(pages) >= 2 and {made, made + "-2"} <= names
    found = api.batch_get_repositories(repositoryNames=[made, "none"])
    assert [each["repositoryName"] for each in found["repositories"]] == [made]
    assert found["repositoriesNotFound"] == ["none"]


@pytest.mark.parametrize("effect", ["cut-answer", "status"])
def test_git_faults(cloud, source, effect):
    made, work = source
    west = f"http://{cloud.git()}/v1/repos/{made}"
    run("git", "-C", str(work), "push", "-q", west, "trunk")
    cloud.faults(service="^git$", action="^GitPull", effect=effect, bytes=100, status=500, count=1)
    assert run("git", "clone", "-q", west, str(work / "x"), check=False).returncode != 0
    run("git", "clone", "-q", west, str(work / "y"))
