"""What setup and show know of the two examples: names of the AWS resources, and clients for them."""

from __future__ import annotations

import os
import subprocess
import sys

import boto3

ACCOUNT = os.environ.get("AWS_ACCOUNT_ID", "111122223333")
PRIMARY, SECONDARY = "us-west-2", "us-east-1"
CLUSTER = "mysfits"
CONTAINERS = {"core": "service", "like": "like-service"}
# The CLI's helper signs the password; --ignore-host-check lets it work for a local address.
HELPER = '!f() { if [ "$1" = get ]; then aws codecommit credential-helper --ignore-host-check get; fi; }; f'


def repository(name: str) -> str:
    return f"mysfits-{name}"


def bucket(region: str) -> str:
    return f"mysfits-artifacts-{region}"


def client(service: str, region: str):
    return boto3.client(service, region_name=region)


def git_url(name: str, region: str) -> str:
    """CodeCommit's address, or the one that MRPIPE_ENDPOINTS gives in its place."""
    host = f"git-codecommit.{region}.amazonaws.com"
    pairs = dict(pair.split("=", 1) for pair in os.environ.get("MRPIPE_ENDPOINTS", "").split(",") if pair)
    return f"{pairs.get(host, 'https://' + host)}/v1/repos/{repository(name)}"


def git(region: str, *words: str) -> str:
    command = ["git", "-c", f"credential.helper={HELPER}", "-c", "credential.UseHttpPath=true", *words]
    environment = os.environ | {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"git {' '.join(words[:2])}: {done.stderr.strip()}")
    return done.stdout


def arguments(least: int, usage: str) -> list[str]:
    words = sys.argv[1:]
    if len(words) < least or words[0] not in CONTAINERS:
        sys.exit(f"usage: {usage}")
    return words
