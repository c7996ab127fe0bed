"""ecs/imagedefinitions: the sibling file of the other regions."""

import json

import pytest
from host import SECONDARY

HOME = "111122223333.dkr.ecr.us-west-2.amazonaws.com/core:1.4"
AWAY = "111122223333.dkr.ecr.us-east-1.amazonaws.com/core:1.4"
DIGEST = "sha256:" + "7" * 64


def phases(host, name="imagedefinitions_primary.json", *entries):
    entries = entries or ({"name": "service", "imageUri": HOME},)
    host.write(name, json.dumps(list(entries)))


def images(image=AWAY, region=SECONDARY):
    return [{
        "name": "", "source": HOME, "digest": DIGEST,
        "copies": [{"region": region, "image": image, "digest": DIGEST, "changed": True}],
    }]  # fmt: skip


def test_sibling(host):
    phases(host)
    planned = host("imagedefinitions", {"images": images()}, "plan").ok("changed")
    assert planned.changes and not (host.work / "imagedefinitions_secondary.json").exists()
    done = host("imagedefinitions", {"images": images()}).ok("changed")
    path = host.work / "imagedefinitions_secondary.json"
    assert path.read_text() == f'[{{"name":"service","imageUri":"{AWAY}"}}]'
    assert done.artifacts == ["imagedefinitions_secondary.json"]
    assert done.outputs == {
        "files": {SECONDARY: "imagedefinitions_secondary.json"}, "images": {SECONDARY: {"service": AWAY}},
    }  # fmt: skip
    again = host("imagedefinitions", {"images": images()}).ok("unchanged")
    assert again.artifacts == ["imagedefinitions_secondary.json"] and again.changes == []


def test_other_names_and_regions(host):
    phases(host, "imagedefinitions.json")
    host("imagedefinitions", {"images": images()}).ok("changed")
    assert (host.work / "imagedefinitions_us-east-1.json").exists()
    phases(host, "deploy/imagedefinitions_primary.json")
    three = images() + images("111122223333.dkr.ecr.eu-west-1.amazonaws.com/core:1.4", "eu-west-1")
    three[0]["copies"] += three.pop()["copies"]
    options = {"images": three, "from": "deploy/imagedefinitions_primary.json", "regions": [SECONDARY, "eu-west-1"]}
    host("imagedefinitions", options).ok("changed")
    assert "eu-west-1" in (host.work / "deploy/imagedefinitions_eu-west-1.json").read_text()
    host("imagedefinitions", {**options, "to": "x-{region}.json"}).ok("changed")
    assert (host.work / "x-us-east-1.json").exists()
    assert host("imagedefinitions", {**options, "to": "x.json"}, "check").code == "config"


def test_digest_other_registries_and_no_images(host):
    phases(host, "imagedefinitions_primary.json", {"name": "service", "imageUri": HOME},
           {"name": "xray", "imageUri": "public.ecr.aws/xray/aws-xray-daemon:3"})  # fmt: skip
    host("imagedefinitions", {"images": images(), "pin": "digest"}).ok("changed")
    path = host.work / "imagedefinitions_secondary.json"
    assert [e["imageUri"] for e in json.loads(path.read_text())] == [
        "111122223333.dkr.ecr.us-east-1.amazonaws.com/core@" + DIGEST, "public.ecr.aws/xray/aws-xray-daemon:3",
    ]  # fmt: skip
    host("imagedefinitions").ok("changed")
    assert json.loads(path.read_text())[0]["imageUri"] == AWAY


@pytest.mark.parametrize(
    ("text", "code", "part"),
    [
        (None, "artifact", "neither"),
        ("[", "config", "imagedefinitions"),
        ("{}", "config", "no list"),
        ("[]", "config", "no list"),
        ('{"ImageURI": "x"}', "config", "imageDetail"),
        ('[{"name": "a"}]', "config", "entry 1 has no imageUri"),
        ('[{"name": "a", "imageUri": "b c"}]', "config", "is no image"),
        ('[{"name": "service", "imageUri": "111122223333.dkr.ecr.us-west-2.amazonaws.com/x:1"}]', "config", "was not copied"),
        ("\0\1\2", "config", ""),
        ("[" * 3000, "config", ""),
        ('[{"name": "a", "imageUri": "' + "b" * 120_000 + '"}]', "config", "larger"),
    ],
)
def test_refused(host, text, code, part):
    if text is not None:
        host.write("imagedefinitions_primary.json", text)
    done = host("imagedefinitions", {"images": images()})
    assert (done.code, part in done.message) == (code, True), (done.code, done.message)


def test_planned_before_the_phases(host):
    assert "known after" in host("imagedefinitions", {}, "plan").ok("changed").changes[0]


def test_no_secondary(host):
    phases(host)
    assert "no secondary region" in host("imagedefinitions", {}, secondaries=[]).message


def test_outside_is_refused(host):
    phases(host)
    assert host("imagedefinitions", {"to": "../out.json"}).code == "config"
