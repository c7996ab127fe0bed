"""Helpers of the stand-in's own tests; they run inside `tests/cloud/up --run`."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

HERE = Path(__file__).resolve().parent
WEST, EAST, ACCOUNT = "us-west-2", "us-east-1", "111122223333"


class Cloud:
    """Clients, addresses and the control port of the running stand-in."""

    def __init__(self):
        pairs = (pair.partition("=") for pair in os.environ["MRPIPE_ENDPOINTS"].split(","))
        self.urls = {name: url for name, _, url in pairs}

    def client(self, service, region=WEST, retries=1, **keys):
        config = Config(retries={"total_max_attempts": retries, "mode": "standard"})
        return boto3.session.Session().client(service, region_name=region, config=config, **keys)

    def registry(self, region=WEST):
        return self.urls[f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com"].removeprefix("http://")

    def git(self, region=WEST):
        return self.urls[f"git-codecommit.{region}.amazonaws.com"].removeprefix("http://")

    def token(self, region=WEST):
        return self.client("ecr", region).get_authorization_token()["authorizationData"][0]["authorizationToken"]

    def control(self, method, path, data=None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(os.environ["MRPIPE_CLOUD_CONTROL"] + path, body, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()

    def faults(self, **rule):
        self.control("POST", "/faults", rule)

    def rollout(self, **rule):
        self.control("POST", "/rollouts", {key.replace("_", "-"): value for key, value in rule.items()})

    def log(self):
        return [json.loads(line) for line in self.control("GET", "/log").splitlines()]

    def mutating(self):
        return [json.loads(line) for line in self.control("GET", "/mutating").splitlines()]


@pytest.fixture
def cloud():
    made = Cloud()
    made.control("POST", "/reset", {})
    return made


def http(method, url, headers=None, body=None):
    """Status, headers and body, without following redirects."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.build_opener(Stay).open(request) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.headers, problem.read()


def run(*words, check=True, **more):
    done = subprocess.run(words, capture_output=True, text=True, **more)
    assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done
