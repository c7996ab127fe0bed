"""env/resolve against the stand-in: values reach the commands and show nowhere."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest

import boto3

BUILD = sys.argv.pop()
SECRET = "s3cr3t/Pa+ss w'ord\"é"
SPEC = """version: 0.2
env:
  parameter-store:
    TOKEN: /core/token
  secrets-manager:
    PASSWORD: core/db:password
    WHOLE: core/db
phases:
  build:
    commands:
%s
"""


class Env(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        region = os.environ["AWS_REGION"]
        boto3.client("ssm", region).put_parameter(
            Name="/core/token", Value="token-0123456789", Type="SecureString", Overwrite=True
        )
        boto3.client("secretsmanager", region).create_secret(
            Name="core/db", SecretString=json.dumps({"user": "me", "password": SECRET})
        )

    def run_spec(self, commands, replace=("", "")):
        self.dir = tempfile.mkdtemp()
        text = SPEC % "\n".join("      - |\n        " + c for c in commands)
        with open(self.dir + "/b.yml", "w") as f:
            f.write(text.replace(*replace) if replace[0] else text)
        return subprocess.run(
            [BUILD + "/mrpipe", "run", "b.yml", "--plugin-dir", BUILD + "/plugins"],
            cwd=self.dir, capture_output=True, text=True, timeout=60,
        )

    def everything(self, run):
        out = run.stdout + run.stderr
        for base, _, files in os.walk(self.dir + "/.mrpipe"):
            for name in files:
                with open(os.path.join(base, name), errors="replace") as f:
                    out += f.read()
        return out

    def test_values_reach_the_commands_and_show_nowhere(self):
        run = self.run_spec([
            'printf %s "$PASSWORD" | sha256sum | cut -c1-16 > sum',
            'printf %s "$TOKEN" | wc -c > len',
            'echo "$PASSWORD"; echo "token is $TOKEN"; printf %s "$PASSWORD" | base64; echo "$WHOLE"',
        ])
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        import hashlib

        with open(self.dir + "/sum") as f:
            self.assertEqual(f.read().strip(), hashlib.sha256(SECRET.encode()).hexdigest()[:16])
        with open(self.dir + "/len") as f:
            self.assertEqual(f.read().strip(), "16")
        shown = self.everything(run)
        for form in (SECRET, "token-0123456789", base64.b64encode(SECRET.encode()).decode(),
                     json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1]):
            self.assertNotIn(form, shown)
        self.assertIn("token is ***", shown)

    def test_a_missing_parameter_ends_the_run_with_5(self):
        run = self.run_spec(["touch ran"], ("/core/token", "/core/nothing"))
        self.assertEqual(run.returncode, 5, run.stdout + run.stderr)
        self.assertIn("/core/nothing", run.stdout + run.stderr)
        self.assertFalse(os.path.exists(self.dir + "/ran"))

    def test_a_missing_key_is_named(self):
        run = self.run_spec(["touch ran"], ("core/db:password", "core/db:pasword"))
        self.assertEqual(run.returncode, 5, run.stdout + run.stderr)
        self.assertIn("pasword", run.stdout + run.stderr)


unittest.main()
