"""Secrets in every form a command or a plugin may print them, against the stand-in: python3 secrets.py BUILD_DIR

Nothing of them may reach the terminal (in any log format), events.jsonl, a log, the state, or what `report` shows later.
"""

import base64
import json
import os
import pty
import re
import subprocess
import sys
import unittest
import urllib.parse

import boto3

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "plugins"))
from harness import BUILD, SO, Case, stages  # noqa: E402

PLAIN = "tr0ub4dor&3/+=?#%\"'\\$HOME `x` \u00e9"
LINES = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEAx7v3\n0Zk9q+Lw/2nE5tYb8s==\nshort\n-----END KEY-----"
TOKEN = "parameter-0123456789-abcdef"
LEAK = r'''
import base64, json, os, re, sys, time, urllib.parse
lower = lambda text: re.sub("%..", lambda m: m.group().lower(), text)
for name in ("PASSWORD", "KEY", "TOKEN"):
    s = os.environ[name]
    b = s.encode()
    for stream in (1, 2):
        for cut in (1, len(b) // 2, len(b) - 1):
            os.write(stream, name.encode() + b" " + b[:cut]); time.sleep(0.01); os.write(stream, b[cut:] + b"\n")
        for byte in b:
            os.write(stream, bytes([byte]))
        os.write(stream, b"\n")
    doc = {"password": s, "nested": {"list": [s, {s: 1}]}}
    for text in (s, json.dumps(doc), json.dumps(doc, ensure_ascii=False), json.dumps(json.dumps(doc)), json.dumps(doc, indent=2),
                 urllib.parse.quote(s, safe=""), urllib.parse.quote(s), urllib.parse.quote_plus(s), "url?p=" + lower(urllib.parse.quote(s, safe="")),
                 base64.b64encode(b).decode(), base64.b64encode(b"user:" + b).decode(), base64.b64encode(b"us:" + b + b"\n").decode(),
                 base64.urlsafe_b64encode(b).decode(), base64.encodebytes(b * 3).decode()):
        print("<" + text + ">", flush=True)
        print("<" + text + ">", file=sys.stderr, flush=True)
'''
SPEC = """version: 0.2
env:
  parameter-store:
    TOKEN: /hostile/token
  secrets-manager:
    PASSWORD: hostile/db:password
    KEY: hostile/db:key
phases:
  build:
    on-failure: CONTINUE
    commands:
      - python3 leak.py
      - env; export -p; set
      - set -x; echo "$PASSWORD" "$KEY" > said.txt
      - echo "${NOTHING?$PASSWORD}"
    finally:
      - printf %s "$PASSWORD" | sha256sum; "$PASSWORD"
"""


def forms(secret):
    """What must not be seen, nor parts of it that give it away."""
    raw = secret.encode()
    yield secret
    for line in secret.split("\n"):
        if len(line) >= 8:
            yield line
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(secret)[1:-1])[1:-1]
    for encoded in (urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret)):
        yield encoded
        yield re.sub("%..", lambda m: m.group().lower(), encoded)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode().rstrip("=")
        for before in (b"user:", b"us:"):
            # The middle of it: the ends share characters with their neighbours.
            yield encode(before + raw).decode()[8:-8]


class Secrets(Case):
    @classmethod
    def setUpClass(cls):
        region = os.environ["AWS_REGION"]
        boto3.client("ssm", region).put_parameter(Name="/hostile/token", Value=TOKEN, Type="SecureString", Overwrite=True)
        boto3.client("secretsmanager", region).create_secret(
            Name="hostile/db", SecretString=json.dumps({"password": PLAIN, "key": LINES}))

    def setUp(self):
        super().setUp()
        self.env = dict(os.environ)  # the stand-in's address and keys
        self.write(LEAK, "leak.py")

    def kept(self):
        out = []
        for base, _, files in os.walk(self.dir + "/.mrpipe"):
            for name in files:
                with open(os.path.join(base, name), "rb") as f:
                    out.append((name, f.read().decode(errors="replace")))
        return out

    def check(self, seen, secrets=(PLAIN, LINES, TOKEN)):
        for name, text in [*seen, *self.kept()]:
            for secret in [*secrets, self.env["AWS_SECRET_ACCESS_KEY"]]:
                for form in forms(secret):
                    if len(form) >= 8 and form in text:
                        at = text.index(form)
                        self.fail(f"{name} shows {form!r}: {text[max(0, at - 60):at + 60]!r}")

    def run_format(self, *args):
        done = subprocess.run([BUILD + "/mrpipe", "run", "b.yml", "--plugin-dir", BUILD + "/plugins", "--plugin-dir", SO, *args],
                              cwd=self.dir, env=self.env, capture_output=True, timeout=60)
        out = (done.stdout + done.stderr).decode(errors="replace")
        self.assertEqual(done.returncode, 1, out)
        return out

    def test_commands_that_leak(self):
        self.write(SPEC)
        for how in ("plain", "json", "codebuild"):
            with self.subTest(how):
                out = self.run_format("--log-format", how)
                self.assertIn("***", out)
                with open(self.dir + "/said.txt") as f:
                    self.assertEqual(f.read(), f"{PLAIN} {LINES}\n")  # the command itself had the values
                report = subprocess.run([BUILD + "/mrpipe", "report", "-v"], cwd=self.dir, env=self.env, capture_output=True, timeout=60)
                self.check([(how, out), ("report", (report.stdout + report.stderr).decode())])

    def test_on_a_terminal(self):
        self.write(SPEC)
        text = b""
        pid, fd = pty.fork()
        if pid == 0:
            os.chdir(self.dir)
            self.env.pop("CI", None)
            os.execve(BUILD + "/mrpipe", ["mrpipe", "run", "b.yml", "--plugin-dir", BUILD + "/plugins"], self.env | {"TERM": "xterm"})
        while True:
            try:
                block = os.read(fd, 65536)
            except OSError:
                block = b""
            if not block:
                break
            text += block
        os.close(fd)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 1)
        self.check([("terminal", text.decode(errors="replace")), ("terminal, lines joined", text.decode(errors="replace").replace("\r\n", "\n"))])

    def test_options_and_frames_of_a_plugin(self):
        note = {"id": "s", "uses": "trial/note", "with": {"text": "hi", "secret": PLAIN}}
        leak = {"id": "l", "uses": "trial/leak", "needs": ["s"], "with": {"text": LINES}}
        self.write(stages(note, leak))
        for how in ("plain", "json", "codebuild"):
            done = subprocess.run([BUILD + "/mrpipe", "run", "b.yml", "--plugin-dir", SO, "--log-format", how, "-v"], cwd=self.dir, env=self.env,
                                  capture_output=True, timeout=60)
            out = (done.stdout + done.stderr).decode(errors="replace")
            self.assertEqual(done.returncode, 6, out)
            self.check([(how, out)], (PLAIN, LINES))

    def test_a_secret_reaches_a_stage_by_the_environment(self):
        self.write(SPEC[:SPEC.index("phases:")] + "phases:\n  build:\n    commands: [':']\n" + stages(
            {"id": "s", "uses": "trial/note", "with": {"text": "${{ env.PASSWORD }} ${{ env.KEY }}"}}, head=""))
        done = subprocess.run([BUILD + "/mrpipe", "run", "b.yml", "--plugin-dir", BUILD + "/plugins", "--plugin-dir", SO, "--debug", "http,sigv4"],
                              cwd=self.dir, env=self.env | {"MRPIPE_INSECURE_TLS": "1"}, capture_output=True, timeout=60)
        out = (done.stdout + done.stderr).decode(errors="replace")
        self.assertEqual(done.returncode, 0, out)
        self.assertIn("text *** ***", out)
        self.assertIn("warning: environment: TLS certificates are not checked", out)
        self.assertRegex(out, "environment: http: POST .* -> 200")
        self.check([("plain", out)])


if __name__ == "__main__":
    unittest.main(verbosity=1)
