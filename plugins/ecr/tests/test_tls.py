"""Over real TLS: nginx with a certificate of its own before a proxy that breaks rules."""

import pytest

import proxy as p
from tls import tls_front

BLOB = r"/blobs/sha256"


@pytest.fixture
def secure(act, registries, layout, repo, proxy, tmp_path):
    a, b, _ = registries
    digest = layout.tag("v1", layout.image([400_000, 2000], repo))
    act("copy", from_="oci:layout:v1", to=[f"{a.host}/{repo}"])
    source, target = proxy(a), proxy(b)
    with tls_front([source.host, target.host], tmp_path) as (hosts, env):
        class Secure:
            def copy(self, env=env, scheme=""):
                return act("copy", from_=f"{scheme}{hosts[0]}/{repo}:v1", to=[f"{scheme}{hosts[1]}/{repo}"],
                           referrers="no", env=env)

        made = Secure()
        made.source, made.target, made.hosts, made.digest, made.b, made.repo = source, target, hosts, digest, b, repo
        yield made


def test_copy_and_again(secure):
    assert secure.copy().result == "changed"
    assert secure.b.digest(secure.repo, "v1") == secure.digest
    assert secure.copy().result == "unchanged"


def test_https_by_name(secure, act, registries):
    """Nothing else than TLS is tried, also on this machine."""
    made = secure.copy(scheme="https://")
    assert made.result == "changed" and secure.b.digest(secure.repo, "v1") == secure.digest
    assert secure.copy().result == "unchanged"
    plain = act("copy", from_=f"https://{registries[0].host}/{secure.repo}:v1", to=["oci:out"])
    assert plain.code == "net" and registries[0].host in plain.error


def test_unknown_certificate(secure):
    done = secure.copy(env={"AWS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"})
    assert done.code in ("net", "auth") and "certificate" in done.error and "localhost" in done.error
    assert "AWS_CA_BUNDLE" in done.hint
    assert not secure.target.seen and not secure.source.seen


def redirect(url):
    return p.status(307, b"", [("Location", url)])


@pytest.mark.parametrize("path", [BLOB, "/manifests/"])
def test_downgrade_of_a_download(secure, path):
    rule = secure.source.rule("GET", path, redirect(f"http://{secure.source.host}/v2/x"), count=99)
    done = secure.copy()
    assert done.code == "remote" and "https to http" in done.error, done.last
    assert rule.hits and not any(seen == "/v2/x" for _, seen, _ in secure.source.seen)


def test_downgrade_of_an_upload(secure):
    def location(handler, answer):
        return (answer[0], [(k, f"http://{secure.target.host}/up") if k.lower() == "location" else (k, v)
                            for k, v in answer[1]], answer[2])

    secure.target.rule("POST", "/uploads/", location, count=99)
    done = secure.copy()
    assert done.code == "remote" and "from https to http" in done.error and secure.hosts[1] in done.error, done.last
    assert not secure.target.count("PUT", "^/up")


@pytest.mark.parametrize("path", [BLOB, "/manifests/"])
def test_redirect_loop(secure, path):
    def loop(handler, answer):
        return (307, [("Location", f"https://{secure.hosts[0]}{handler.path}")], b"")

    rule = secure.source.rule("GET", path, loop, count=99)
    done = secure.copy()
    assert done.code == "remote" and "redirect" in done.error and secure.hosts[0] in done.error, done.last
    assert 1 <= rule.hits < 60
