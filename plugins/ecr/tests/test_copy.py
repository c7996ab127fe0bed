"""Copies between plain registries, layouts and archives; skopeo is the witness of the digests."""

import base64
import json
import subprocess
import urllib.request

import pytest


def test_index_with_fan_out(act, registries, layout, repo):
    a, b, c = registries
    digest = layout.tag("v1", layout.platforms())
    assert act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"]).result == "changed"
    assert a.digest(repo, "v1") == digest
    start = len(a.requests())
    done = act("copy", from_={"name": "service", "imageUri": f"{a.host}/{repo}:v1"},
               to=[f"{b.host}/{repo}", f"{c.host}/x/{repo}:other"])
    assert done.result == "changed", done.error
    assert b.digest(repo, "v1") == c.digest("x/" + repo, "other") == digest
    image = done.outputs["images"][0]
    assert image["name"] == "service" and image["digest"] == digest
    assert [copy["digest"] for copy in image["copies"]] == [digest, digest]
    # The source was read once: four different blobs (two layers are shared, two configurations).
    assert a.count("GET", "/blobs/", start) == 4


def test_warm_copy_is_two_heads(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.platforms())
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}", f"{b.host}/{repo}"])
    before = len(a.requests()), len(b.requests())
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "unchanged" and not done.changes
    assert [r[0] for r in a.requests()[before[0]:]] == ["HEAD"]
    assert [r[0] for r in b.requests()[before[1]:]] == ["HEAD"]


def test_two_requests_per_blob(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.image([20_000 + i for i in range(20)], 7))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    start = len(b.requests())
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="no")
    assert done.result == "changed"
    assert b.count("POST", "uploads", start) == b.count("PUT", "uploads", start) == 21
    assert b.count("GET", "/v2/$", start) == b.count("HEAD", "/blobs/", start) == 0
    copy = done.copies()[0]
    assert copy["bytes"] > 20 * 20_000 and copy["skipped-bytes"] == 0 and copy["retries"] == 0


def test_blobs_that_are_there_are_not_sent(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.image([300_000, 5000], 11))
    layout.tag("v2", layout.image([300_000, 5000], 11, arch="arm64"))
    act("copy", from_="oci:layout:v1", to=[f"{b.host}/{repo}"])
    start = len(b.requests())
    done = act("copy", from_="oci:layout:v2", to=[f"{b.host}/{repo}"])
    assert b.count("PUT", "uploads", start) == 1  # the other configuration
    assert done.copies()[0]["skipped-bytes"] == 305_000


def test_platforms(act, registries, layout, repo):
    a = registries[0]
    layout.tag("v1", layout.platforms())
    done = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], platforms=["linux/arm64"])
    entries = json.loads(a.raw(repo, "v1"))["manifests"]
    assert [e["platform"]["architecture"] for e in entries] == ["arm64"]
    again = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], platforms=["linux/arm64"])
    assert (done.result, again.result) == ("changed", "unchanged")
    none = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}:x"], platforms=["linux/s390x"])
    assert none.code == "not-found" and "linux/s390x" in none.error


def test_nested_index_and_docker_types(act, registries, layout, repo):
    a, b, _ = registries
    inner = layout.index([layout.image([1000], 1, docker=True), layout.image([2000], 2)])
    digest = layout.tag("v1", layout.index([inner, layout.image([900], 3)]))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed", done.error
    assert b.digest(repo, "v1") == digest
    assert b.digest(repo, inner["digest"]) == inner["digest"]
    assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"]).outputs["equal"]


def test_too_deep_index(act, registries, layout, repo):
    entry = layout.image([10], 1)
    for _ in range(6):
        entry = layout.index([entry])
    layout.tag("v1", entry)
    done = act("copy", from_="oci:layout:v1", to=[f"{registries[0].host}/{repo}"])
    assert "deep" in done.error and repo in done.error


def test_referrers_and_cosign_tags(act, registries, layout, repo):
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([4000], 1))
    hex_ = digest.split(":")[1]
    subject = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1}
    sbom = layout.image([600], 2, subject=subject, artifactType="application/spdx+json")
    layout.tag(f"sha256-{hex_}", layout.index([{**sbom, "artifactType": "application/spdx+json"}]))
    layout.tag(f"sha256-{hex_}.sig", layout.image([500], 3))
    for tag in ("v1", f"sha256-{hex_}", f"sha256-{hex_}.sig"):
        assert act("copy", from_=f"oci:layout:{tag}", to=[f"{a.host}/{repo}"], referrers="no").result == "changed"
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed", done.error
    assert b.digest(repo, sbom["digest"]) == sbom["digest"]
    assert b.digest(repo, f"sha256-{hex_}.sig") == a.digest(repo, f"sha256-{hex_}.sig")
    assert b.digest(repo, f"sha256-{hex_}") == a.digest(repo, f"sha256-{hex_}")
    # Signed later: `always` finds what came after the image.
    layout.tag(f"sha256-{hex_}.att", layout.image([501], 4))
    act("copy", from_=f"oci:layout:sha256-{hex_}.att", to=[f"{a.host}/{repo}"], referrers="no")
    check = act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], fail=False)
    assert [d["problem"] for d in check.outputs["differences"]] == ["cosign tag missing"]
    act("copy", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"], referrers="always")
    assert act("verify", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"]).outputs["equal"]


def test_inline_data_and_foreign_layers(act, registries, layout, repo):
    a, b, _ = registries
    data = b"{}"
    empty = {**layout.blob(data, "application/vnd.oci.empty.v1+json"), "data": base64.b64encode(data).decode()}
    foreign = {**layout.blob(b"f" * 700, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
               "urls": ["https://example.com/x"]}
    (layout.blobs / empty["digest"].split(":")[1]).unlink()
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": empty,
                "layers": [foreign]}
    digest = layout.tag("v1", layout.blob(json.dumps(manifest).encode(), manifest["mediaType"]))
    done = act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"], foreign_layers=True)
    assert done.result == "changed", done.error
    assert a.digest(repo, "v1") == digest
    assert a.has_blob(repo, foreign["digest"]) and a.has_blob(repo, empty["digest"])


def test_layouts_and_archives(act, registries, layout, repo, tmp_path):
    a = registries[0]
    digest = layout.tag("v1", layout.platforms())
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    done = act("copy", from_=f"{a.host}/{repo}:v1", to=["oci:out:v1", "oci-archive:out.tar:v1"])
    assert done.result == "changed", done.error
    for source in ("oci:out:v1", "oci-archive:out.tar:v1"):
        raw = subprocess.run(["skopeo", "inspect", "--raw", source.replace(":out", f":{tmp_path}/out")],
                             check=True, capture_output=True).stdout
        assert json.loads(raw)["mediaType"].endswith("index.v1+json")
    back = act("copy", from_="oci-archive:out.tar:v1", to=[f"{a.host}/{repo}:back"])
    assert back.result == "changed" and a.digest(repo, "back") == digest


def test_docker_archive(act, registries, layout, repo, tmp_path):
    a = registries[0]
    layout.tag("v1", layout.image([9000, 5000], 1))
    subprocess.run(["skopeo", "copy", "-q", f"oci:{tmp_path}/layout:v1", f"docker-archive:{tmp_path}/d.tar:core:v1"],
                   check=True)
    done = act("copy", from_="docker-archive:d.tar", to=[f"{a.host}/{repo}:v1"])
    assert done.result == "changed", done.error
    assert act("copy", from_="docker-archive:d.tar", to=[f"{a.host}/{repo}:v1"]).result == "unchanged"
    manifest = json.loads(a.raw(repo, "v1"))
    assert manifest["mediaType"].endswith("manifest.v2+json") and len(manifest["layers"]) == 2


def test_wrong_layout_blob(act, registries, layout, repo):
    layout.tag("v1", layout.image([200_000], 1))
    name = max(layout.blobs.iterdir(), key=lambda p: p.stat().st_size)
    name.write_bytes(b"x" * 200_000)
    done = act("copy", from_="oci:layout:v1", to=[f"{registries[0].host}/{repo}"])
    assert done.code and name.name in done.error and registries[0].host in done.error
    into = act("copy", from_="oci:layout:v1", to=["oci:other:v1"])
    assert name.name in into.error
    assert not (layout.folder.parent / "other" / "index.json").exists()


@pytest.mark.parametrize("options, part", [
    ({"from_": "nothing/here:1@sha256:12", "to": ["localhost/x"]}, "digest"),
    ({"from_": [], "to": ["localhost/x"]}, "names no image"),
    ({"from_": [{"name": "x"}], "to": ["localhost/x"]}, "imageUri"),
    ({"from_": "localhost/x:1", "to": ["UPPER/x y"]}, "no image reference"),
    ({"from_": "localhost/x:1", "to_regions": ["nowhere"]}, "no region"),
    ({"from_": "oci:absent:1", "to": ["localhost/x"]}, "absent"),
])
def test_bad_options(act, options, part):
    done = act("copy", **options)
    assert part in done.error, done.last


def test_missing_image(act, registries, repo):
    a, b, _ = registries
    done = act("copy", from_=f"{a.host}/{repo}:gone", to=[f"{b.host}/{repo}"])
    assert done.code == "not-found" and f"{a.host}/{repo}:gone" in done.error and done.hint


def test_plan_writes_nothing(act, registries, layout, repo):
    a, b, _ = registries
    layout.tag("v1", layout.image([1000], 1))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    start = len(b.requests())
    done = act("copy", how="plan", from_=f"{a.host}/{repo}:v1", to=[f"{b.host}/{repo}"])
    assert done.result == "changed" and len(done.changes) == 1
    assert {m for m, _, _ in b.requests()[start:]} == {"HEAD"}
    assert act("copy", how="plan", from_=f"{a.host}/{repo}:v1", to=["oci:planned:v1"]).result == "changed"
    assert not (layout.folder.parent / "planned").exists()


def test_sync_of_repositories(act, registries, layout, repo):
    a, b, _ = registries
    shared = [50_000]
    for i in range(12):
        layout.tag(f"1.{i}.0", layout.image(shared + [100 + i], 5))
    act("copy", from_=[f"oci:layout:1.{i}.0" for i in range(12)], to=[f"{a.host}/{repo}/one"])
    act("copy", from_=["oci:layout:1.0.0"], to=[f"{a.host}/{repo}/two:latest"])
    done = act("sync", from_=a.host, repositories=[f"{repo}/*"], to=[f"{b.host}/m/"])
    assert done.outputs["summary"] == {"repositories": 2, "tags": 13, "unchanged": 0, "copied": 13, "deleted": 0}
    assert b.digest(f"m/{repo}/one", "1.11.0") == a.digest(f"{repo}/one", "1.11.0")
    again = act("sync", from_=a.host, repositories=[f"{repo}/*"], to=[f"{b.host}/m/"])
    assert again.result == "unchanged" and again.outputs["summary"]["unchanged"] == 13
    some = act("sync", from_=f"{a.host}/{repo}/one", to=[f"{b.host}/n/{repo}"], semver=">=1.3", newest=2)
    assert some.outputs["summary"]["copied"] == 2
    refused = act("sync", from_=f"{a.host}/{repo}/two", to=[f"{b.host}/m/{repo}/one"], delete="extra")
    assert refused.code == "conflict" and "12 of 1" in refused.error
    assert act("sync", how="verify", from_=f"{a.host}/{repo}/one", to=[f"{b.host}/m/{repo}/one"]).result == "unchanged"


def test_push_dates_of_a_registry_that_has_none(act, registries, layout, repo):
    done = act("sync", from_=f"{registries[0].host}/{repo}", to=[f"{registries[1].host}/{repo}"], pushed_within="1h")
    assert done.code == "config" and registries[0].host in done.error and done.hint


def test_verify_of_a_copy_goes_deep(act, registries, layout, repo):
    """The tag is equal, but a platform's manifest was removed at the destination, and one came to be signed."""
    a, b, _ = registries
    layout.tag("v1", layout.platforms())
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}", f"{b.host}/{repo}"])
    options = {"from_": f"{a.host}/{repo}:v1", "to": [f"{b.host}/{repo}"]}
    assert act("copy", how="verify", **options).result == "unchanged"
    child = json.loads(a.raw(repo, "v1"))["manifests"][1]["digest"]
    url = f"http://{b.host}/v2/{repo}/manifests/{child}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"))
    tag = f"sha256-{child.partition(':')[2]}.sig"
    layout.tag(tag, layout.image([10], 1))
    act("copy", from_=f"oci:layout:{tag}", to=[f"{a.host}/{repo}"], referrers="no")
    done = act("copy", how="verify", **options)
    assert done.result == "changed" and not done.changes
    said = "\n".join(done.logs)
    assert f"manifest missing ({child})" in said and "cosign tag missing" in said


def test_password_registry(act, registries, layout, repo, tmp_path):
    from conftest import Registry
    file = tmp_path / "htpasswd"
    file.write_text("u:$2y$05$DyiIkRRWQA0wWjsqE6LDd.lTyaafOtaXRgoLGD8y0L7/TMnuo/ctS\n")
    auth = f"auth: {{htpasswd: {{realm: r, path: {file}}}}}"
    layout.tag("v1", layout.image([1000], 1))
    private = Registry(tmp_path / "private", auth)
    try:
        done = act("copy", from_="oci:layout:v1", to=[f"{private.host}/{repo}"])
        assert done.code == "auth" and private.host in done.error and "docker login" in done.hint
        act.docker.mkdir(exist_ok=True)
        wrong = base64.b64encode(b"u:wrong").decode()
        (act.docker / "config.json").write_text(json.dumps({"auths": {private.host: {"auth": wrong}}}))
        refused = act("copy", from_="oci:layout:v1", to=[f"{private.host}/{repo}"])
        assert refused.code == "auth"
        secrets = [f["value"] for f in refused.frames if f.get("type") == "secret"]
        assert "wrong" in secrets
    finally:
        private.stop()


HELPER = """#!/bin/sh
read host
case $1 in
get) [ "$host" = "%s" ] || { echo "credentials not found in native keychain"; exit 1; }
     echo '{"ServerURL":"'$host'","Username":"u","Secret":"p"}' ;;
esac
"""


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_credential_helper(act, registries, layout, repo, proxy, tmp_path, key):
    import os
    import proxy as p
    front = proxy(registries[0])
    layout.tag("v1", layout.image([1000], 1))
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "docker-credential-mine").write_text(HELPER % front.host)
    (tools / "docker-credential-mine").chmod(0o755)
    act.docker.mkdir()
    (act.docker / "config.json").write_text(json.dumps({key: {front.host: "mine"} if key == "credHelpers" else "mine"}))
    front.rule("HEAD", "/manifests/", p.status(401, b"", [("WWW-Authenticate", 'Basic realm="r"')]))
    done = act("copy", from_="oci:layout:v1", to=[f"{front.host}/{repo}"],
               env={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert done.result == "changed", done.last
    assert front.seen[1][2]["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    (tools / "docker-credential-mine").write_text("#!/bin/sh\necho boom; exit 3\n")
    broken = act("copy", from_="oci:layout:v1", to=[f"{front.host}/{repo}"],
                 env={"PATH": f"{tools}:{os.environ['PATH']}"})
    assert broken.code == "auth" and "boom" in broken.error and front.host in broken.error


def test_bearer_token_with_scopes(act, registries, layout, repo, proxy):
    import proxy as p
    front = proxy(registries[0])
    layout.tag("v1", layout.image([1000], 1))
    realm = f'Bearer realm="http://{front.host}/token?x=1",service="reg istry"'

    def guard(handler, answer):
        return answer if handler.headers.get("Authorization") == "Bearer good" else \
            (401, [("WWW-Authenticate", realm)], b"")

    front.rule("GET", "^/token", p.status(200, b'{"access_token":"good"}'), count=9)
    for method in ("HEAD", "POST", "PUT", "GET"):
        front.rule(method, "/v2/", guard, count=99)
    done = act("copy", from_="oci:layout:v1", to=[f"{front.host}/{repo}"])
    assert done.result == "changed", done.last
    asked = [path for _, path, _ in front.seen if path.startswith("/token")]
    assert asked[0].startswith("/token?x=1&service=reg%20istry&scope=repository")
    assert any("pull%2Cpush" in path or "pull,push" in path for path in asked) and len(asked) <= 3
