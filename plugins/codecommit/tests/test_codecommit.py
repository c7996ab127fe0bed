"""CodeCommit itself: passwords, regions, missing repositories, default branches, events."""

import json
import os
import pathlib
import subprocess
import time

import boto3
import pytest
from conftest import Bench, act, bare, git, import_history, refs
from gitserver import GitServer

REGIONS = ("us-west-2", "us-east-1")
CTL = str(pathlib.Path(__file__).parents[3] / "tests" / "cloud" / "ctl")


def ctl(*args):
    return subprocess.run([CTL, *args], check=True, capture_output=True, text=True).stdout


def log():
    text = ctl("log")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


@pytest.fixture
def source(tmp_path, request):
    """A repository in the primary region with some history; its name and a local twin."""
    ctl("reset")
    name = "r-" + "".join(c if c.isalnum() else "-" for c in request.node.name)[:60] + f"-{os.getpid()}"
    boto3.client("codecommit", "us-west-2").create_repository(
        repositoryName=name, repositoryDescription="what it is", tags={"team": "core"})
    local = bare(tmp_path / "seed.git")
    import_history(local, {"main": 6, "dev": 2})
    git("tag", "-a", "-m", "t", "v1", "main", cwd=local)
    seed(tmp_path, local, name)
    return name, local


def seed(tmp_path, local, name):
    out = act(tmp_path, {"from": str(local), "to": f"codecommit::us-west-2://{name}"}, regions=REGIONS)
    assert out.status == 0, out.error


def fetch(tmp_path, region, name):
    copy = tmp_path / f"check-{region}.git"
    out = act(tmp_path, {"from": f"codecommit::{region}://{name}", "to": str(copy)}, regions=REGIONS)
    assert out.status == 0, out.error
    git("fsck", "--full", "--no-dangling", cwd=copy)
    return refs(copy)


def mirror(tmp_path, action="mirror", mode="run", regions=REGIONS, **options):
    return act(tmp_path, {k.rstrip("_").replace("_", "-"): v for k, v in options.items()}, action, mode, regions)


def test_repository_alone_is_enough(tmp_path, source):
    name, local = source
    ctl("reset")
    out = mirror(tmp_path, mode="plan", repository=name)
    assert out.result == "changed" and any("create repository" in c for c in out.changes())
    assert not [e for e in log() if e.get("mutating")]
    out = mirror(tmp_path, repository=name)
    assert out.status == 0 and out.result == "changed", out.error
    assert fetch(tmp_path, "us-east-1", name) == refs(local)
    meta = boto3.client("codecommit", "us-east-1").get_repository(repositoryName=name)["repositoryMetadata"]
    assert meta["repositoryDescription"] == "what it is" and meta["defaultBranch"] == "main"
    assert out.events()[0]["region"] == "us-east-1"

    ctl("reset")
    out = mirror(tmp_path, repository=name)
    assert out.result == "unchanged"
    assert len(log()) == 2 and not [e for e in log() if e.get("mutating")]
    assert mirror(tmp_path, action="verify", repository=name).status == 0

    import_history(local, {"main": 3})
    git("branch", "-D", "dev", cwd=local)
    seed(tmp_path, local, name)
    ctl("reset")
    assert mirror(tmp_path, repository=name).result == "changed"
    actions = [e["action"] for e in log() if e["service"] == "git"]
    assert sorted(actions) == ["GitPull", "GitPush", "RefsGitPull", "RefsGitPush"]
    assert fetch(tmp_path, "us-east-1", name) == refs(local)


def test_default_branch_is_renamed(tmp_path, source):
    name, local = source
    assert mirror(tmp_path, repository=name).status == 0
    git("branch", "-m", "main", "trunk", cwd=local)
    git("symbolic-ref", "HEAD", "refs/heads/trunk", cwd=local)
    seed(tmp_path, local, name)
    out = mirror(tmp_path, repository=name)
    assert out.status == 0, out.error
    assert fetch(tmp_path, "us-east-1", name) == refs(local)
    meta = boto3.client("codecommit", "us-east-1").get_repository(repositoryName=name)["repositoryMetadata"]
    assert meta["defaultBranch"] == "trunk"


def test_all_and_patterns(tmp_path, source):
    name, local = source
    west = boto3.client("codecommit", "us-west-2")
    names = [f"{name}-x{i}" for i in range(3)]
    for n in names:
        west.create_repository(repositoryName=n)
        seed(tmp_path, local, n)
    ctl("settings", '{"codecommit-page": 2}')
    out = mirror(tmp_path, repositories=[f"{name}-x*"])
    assert out.status == 0, out.error
    assert {e["repository"] for e in out.events()} == set(names)
    for n in names:
        boto3.client("codecommit", "us-east-1").get_repository(repositoryName=n)
    assert mirror(tmp_path, repositories=[f"{name}-x*"]).result == "unchanged"
    out = mirror(tmp_path, repositories=["nothing-*"])
    assert out.status == 1 and "matches" in out.error


def test_event_is_a_hint(tmp_path, source):
    name, local = source
    event = {"source": "aws.codecommit", "detail-type": "CodeCommit Repository State Change", "region": "us-west-2",
             "resources": [f"arn:aws:codecommit:us-west-2:111122223333:{name}"],
             "detail": {"event": "referenceUpdated", "repositoryName": name, "referenceName": "main"}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    out = mirror(tmp_path, event="event.json")
    assert out.status == 0 and out.result == "changed", out.error
    assert fetch(tmp_path, "us-east-1", name) == refs(local)
    assert mirror(tmp_path, event=json.dumps(event)).result == "unchanged"
    event["region"] = "us-east-1"  # the mirror's own push comes back as an event
    (tmp_path / "event.json").write_text(json.dumps([event]))
    ctl("reset")
    out = mirror(tmp_path, event="event.json")
    assert out.result == "unchanged" and not log() and "nothing to mirror" in out.logs()
    (tmp_path / "event.json").write_text('{"source": "aws.ecr"}')
    assert "aws.codecommit" in mirror(tmp_path, event="event.json").error


def do(tmp_path, *words, **kind):
    """Through the runner, whose workers have no standard input of their own."""
    plugins = pathlib.Path(os.environ["MRPIPE_PLUGINS"])
    return subprocess.run([str(plugins.parent / "mrpipe"), "do", "codecommit/mirror", *words, "--plugin-dir", str(plugins),
                           "--region", "us-west-2", "--to", "us-east-1"], cwd=tmp_path, capture_output=True, text=True,
                          timeout=120, **kind)


def test_event_on_standard_input(tmp_path, source):
    name, local = source
    event = {"source": "aws.codecommit", "region": "us-west-2", "detail": {"repositoryName": name}}
    out = do(tmp_path, "event=-", input=json.dumps(event))
    assert out.returncode == 0, out.stdout + out.stderr
    assert fetch(tmp_path, "us-east-1", name) == refs(local)
    (tmp_path / "event.json").write_text(json.dumps(event))
    with open(tmp_path / "event.json") as f:
        out = do(tmp_path, "event=-", stdin=f)
    assert out.returncode == 0 and "unchanged" in out.stdout, out.stdout + out.stderr
    out = do(tmp_path, "event=-", stdin=subprocess.DEVNULL)
    assert out.returncode != 0 and "holds no event" in out.stdout + out.stderr
    # What does not ask for it leaves it alone.
    read, write = os.pipe()
    os.write(write, b"kept")
    os.close(write)
    assert do(tmp_path, f"repository={name}", stdin=read).returncode == 0
    assert os.read(read, 10) == b"kept"
    os.close(read)


KEYS = {"mrk-1234": "arn:aws:kms:us-east-1:111122223333:key/mrk-1234", "1234-abcd": None, "alias/aws/codecommit": None}


@pytest.mark.parametrize("key", KEYS)
def test_settings_of_a_new_repository(tmp_path, source, key):
    name, local = source
    west, east = boto3.client("codecommit", "us-west-2"), boto3.client("codecommit", "us-east-1")
    resource = key if key.startswith("alias/") else f"key/{key}"
    west.create_repository(repositoryName=f"{name}-k", repositoryDescription="sealed", tags={"team": "core", "a b": "c=d"},
                           kmsKeyId=f"arn:aws:kms:us-west-2:111122223333:{resource}")
    seed(tmp_path, local, f"{name}-k")
    out = mirror(tmp_path, repository=f"{name}-k")
    assert out.status == 0, out.error
    meta = east.get_repository(repositoryName=f"{name}-k")["repositoryMetadata"]
    assert meta["repositoryDescription"] == "sealed" and meta.get("kmsKeyId") == KEYS[key]
    assert east.list_tags_for_resource(resourceArn=meta["Arn"])["tags"] == {"team": "core", "a b": "c=d"}
    assert ("kms-key" in out.logs()) == (key == "1234-abcd")


def test_named_key(tmp_path, source):
    name, _ = source
    own = "arn:aws:kms:us-east-1:111122223333:key/5678"
    assert mirror(tmp_path, repository=name, kms_key=own).status == 0
    meta = boto3.client("codecommit", "us-east-1").get_repository(repositoryName=name)["repositoryMetadata"]
    assert meta["kmsKeyId"] == own


def test_refusals(tmp_path, source):
    name, _ = source
    out = mirror(tmp_path, from_="us-east-1", to="us-west-2", repository=name)
    assert out.status == 1 and out.code == "not-found", out.code
    ctl("keys", '{"access-key": "ASIAEXPIRED", "secret": "s", "token": "t", "expires": 1000000000}')
    env = {"AWS_ACCESS_KEY_ID": "ASIAEXPIRED", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    out = act(tmp_path, {"repository": name}, regions=REGIONS, env=env)
    assert out.status == 1 and out.code == "auth" and "403" in out.error and "GitPull" in out.hint


def test_temporary_keys(tmp_path, source):
    name, local = source
    ctl("keys", json.dumps({"access-key": "ASIAGOOD", "secret": "sec/ret+=", "token": "tok/en+==" * 100,
                            "expires": int(time.time()) + 3600}))
    env = {"AWS_ACCESS_KEY_ID": "ASIAGOOD", "AWS_SECRET_ACCESS_KEY": "sec/ret+=",
           "AWS_SESSION_TOKEN": "tok/en+==" * 100}
    out = act(tmp_path, {"repository": name}, regions=REGIONS, env=env)
    assert out.status == 0, out.error
    assert fetch(tmp_path, "us-east-1", name) == refs(local)


def test_throttling_and_breaks(tmp_path, source):
    name, local = source
    for action in ("RefsGitPull", "RefsGitPush", "GitPull", "GitPush"):
        ctl("faults", json.dumps({"service": "git", "action": f"^{action}$", "effect": "throttle", "count": 1}))
    ctl("faults", json.dumps({"service": "git", "action": "^GitPull$", "skip": 1, "effect": "cut-answer",
                              "bytes": 400, "count": 1}))
    out = mirror(tmp_path, repository=name)
    assert out.status == 0, out.error
    assert fetch(tmp_path, "us-east-1", name) == refs(local)


def test_profile_in_the_url(tmp_path, source):
    name, local = source
    config = tmp_path / "config"
    config.write_text("[profile other]\nregion = us-west-2\naws_access_key_id = "
                      f"{os.environ['AWS_ACCESS_KEY_ID']}\naws_secret_access_key = "
                      f"{os.environ['AWS_SECRET_ACCESS_KEY']}\n")
    env = {"AWS_CONFIG_FILE": str(config), "AWS_ACCESS_KEY_ID": "AKIAWRONG", "AWS_SECRET_ACCESS_KEY": "wrong"}
    copy = tmp_path / "copy.git"
    out = act(tmp_path, {"from": f"codecommit::us-west-2://other@{name}", "to": str(copy)}, regions=REGIONS, env=env)
    assert out.status == 0, out.error
    assert refs(copy) == refs(local)
    out = act(tmp_path, {"from": f"codecommit://other@{name}", "to": str(copy)}, regions=REGIONS, env=env)
    assert out.status == 0 and out.result == "unchanged", out.error


def test_every_request_has_a_fresh_password(tmp_path):
    """Passwords last minutes; a run of many batches may last longer."""
    with GitServer(tmp_path / "root") as server:
        bench = Bench(tmp_path, server)
        import_history(bench.src, {"main": 3, "a": 1, "b": 1, "c": 1})
        (pathlib.Path(server.root) / "v1" / "repos").mkdir(parents=True)
        os.rename(bench.dst, pathlib.Path(server.root) / "v1" / "repos" / "app")

        def next_second(request):
            now = int(time.time())
            while int(time.time()) == now:
                time.sleep(0.01)

        used = set()

        def once(request):
            """A password that came before has expired."""
            if request.service != "git-receive-pack":
                return False
            next_second(request)
            password = request.headers.get("Authorization")
            if password in used:
                request.handler.answer(403, b"expired")
                return True
            used.add(password)
            return False

        server.faults.append(once)
        env = {"MRPIPE_ENDPOINTS": f"git-codecommit.us-east-1.amazonaws.com={server.url}"}
        out = act(tmp_path, {"from": f"{server.url}/src.git", "to": "codecommit::us-east-1://app", "batch": 2,
                             "default-branch": False}, regions=REGIONS, env=env)
        assert out.status == 0, out.error
        seen = [e["authorization"] for e in server.requests() if e["service"] == "git-receive-pack"]
        assert len(seen) == 3 and len(set(seen)) == 3
        assert refs(pathlib.Path(server.root) / "v1" / "repos" / "app") == refs(bench.src)
