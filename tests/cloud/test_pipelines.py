"""The two examples, twice each, with the mrpipe that was built (MRPIPE_BUILD): equal regions, then nothing to do."""

import os
from pathlib import Path

import pytest
from conftest import HERE, run

TOUR = HERE.parent.parent / "pipelines" / "tour"
# How version 2 of the AWS CLI answers what it no longer knows.
LATER_CLI = """#!/bin/sh
case " $* " in
*' ecr get-login '*)
    echo "aws: error: argument operation: Invalid choice, valid choices are: get-login-password" >&2
    exit 252 ;;
esac
PATH=${PATH#*:}
exec aws "$@"
"""


def tour(*words, path=""):
    environment = dict(os.environ)
    up = [f"{HERE}/up", "--run"]
    if path:
        up += ["sh", "-c", f'PATH={path}:$PATH exec "$@"', "sh"]
    done = run(*up, str(TOUR), *words, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_core_with_a_cli_that_lost_get_login(tmp_path):
    aws = Path(tmp_path, "aws")
    aws.write_text(LATER_CLI)
    aws.chmod(0o755)
    done = tour("core", os.environ["MRPIPE_BUILD"], path=str(tmp_path))
    assert "this AWS CLI has no `ecr get-login`" in done.stdout + done.stderr
    assert "7 of 7 stages unchanged" in done.stdout and " 0 of them change anything" in done.stdout


def test_like():
    done = tour("like", os.environ["MRPIPE_BUILD"])
    assert "7 of 7 stages unchanged" in done.stdout


@pytest.mark.parametrize("name", ["core", "like"])
def test_without_the_section(name):
    done = tour(name, os.environ["MRPIPE_BUILD"], "plain")
    assert "3 of 3 stages unchanged" in done.stdout
