"""What a user sees of whole runs: places, rerun lines, plans, the table of shell state, formats, signals: python3 user.py BUILD_DIR"""

import json
import os
import pty
import re
import select
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "plugins"))
from harness import BUILD, SO, Case, build, note, stages  # noqa: E402


class Sidecar(Case):
    """Places of stages are shown in the text that they stand in."""

    def test_marks_of_a_sidecar(self):
        self.write(build("touch ran"))
        self.write("mrpipe:\n  stages:\n    - id: a\n      uses: trial/note\n      with:\n        tekst: x\n", "side.yml")
        self.run_it(None, "--with", "side.yml", code=3)
        self.assertIn("side.yml:6:", self.said)
        self.assertIn("6 |         tekst: x", self.said)
        self.write("mrpipe:\n  stages:\n    - id: a\n      uses: trial/fail\n      with: {text: x, times: 9}\n", "side.yml")
        self.run_it(None, "--with", "side.yml", code=6)
        self.assertIn("side.yml:3", self.said)

    def test_marks_of_derived_stages(self):
        self.write("version: 0.2\nphases:\n  build:\n    commands: [':']\nartifacts:\n  files: [imagedefinitions.json]\n")
        self.run_it(None, "--to", "us-east-1", code=4)
        self.assertIn("(stages of --to):", self.said)
        self.assertIn("uses: ecr/copy", self.said)
        self.assertIn("there is no plugin `ecr`", self.said)


class Rerun(Case):
    def line(self):
        return self.events("failure")[0]["rerun"]

    def test_a_stage_is_named_once(self):
        fail = {"id": "f", "uses": "trial/fail", "with": {"text": "t", "times": 99}}
        self.write(stages(note("a"), fail))
        self.run_it(None, code=6)
        self.assertTrue(self.line().endswith(" --from f"), self.line())
        for again in (["--from", "f"], ["--from=f"]):
            self.run_it(None, *again, code=6)
            self.assertEqual(self.line().count("--from"), 1, self.line())
        # What the card says works.
        again = subprocess.run(["sh", "-c", self.line()], cwd=self.dir, env=self.env, capture_output=True, timeout=60)
        self.assertEqual(again.returncode, 6, again.stdout + again.stderr)

    def test_do_has_no_other_stage(self):
        run = subprocess.run([BUILD + "/mrpipe", "do", "trial/fail", "text=a b", "times=9", "--plugin-dir", SO], cwd=self.dir,
                             env=self.env, capture_output=True, timeout=60)
        self.assertEqual(run.returncode, 6, run.stdout + run.stderr)
        self.assertNotIn("--from", self.line())
        self.assertIn("'text=a b'", self.line())


class Plan(Case):
    def plan(self, text, *args, code=0):
        self.write(text)
        run = subprocess.run([BUILD + "/mrpipe", "plan", "b.yml", "--plugin-dir", SO, *args], cwd=self.dir, env=self.env,
                             capture_output=True, timeout=60)
        self.said = (run.stdout + run.stderr).decode()
        self.assertEqual(run.returncode, code, self.said)

    def test_what_only_a_run_knows(self):
        self.plan(build("touch ran", more=stages(
            note("a", "${{ env.TAG }}"), note("b", "${{ stages.a.outputs.text }}"), note("c", "${{ stages.b.outputs.region }} x"),
            note("d", needs=["b"]) | {"if": "stages.b.result == 'changed'"}, note("e", "${{ file('made.txt') }}", needs=["build"]),
            note("g", "plain"), note("h", "${{ stages.g.outputs.env }}"), head="")))
        for stage, what in (("a", "with: text: env.TAG"), ("b", "with: text: stages.a.outputs.text"), ("c", "stages.b.outputs.region"),
                            ("d", "if: stages.b.result"), ("e", "file('made.txt')"), ("h", "stages.g.outputs.env")):
            line = next(x for x in self.said.splitlines() if x.startswith(f"[{stage}] skipped"))
            self.assertIn(f"{what} (known after run)", line)
        self.assertIn("[g] + would say plain", self.said)
        self.assertFalse(os.path.exists(self.dir + "/ran"))

    def test_mistakes_are_still_mistakes(self):
        self.plan(stages(note("a"), note("b", "${{ stages.a.outputs.nosuch }}")), code=3)
        self.assertIn("no output `nosuch`", self.said)


class Table(Case):
    """The rows of reference/buildspec.md 1.2 that tests/plugins/runs.py does not show."""

    def bash(self, *commands, **more):
        return build(*commands, head="version: 0.2\nenv:\n  shell: bash\n", **more)

    def test_cd_and_variables_cross_phases(self):
        os.mkdir(self.dir + "/sub")
        self.run_it("version: 0.2\nphases:\n  install:\n    commands: ['cd sub', 'A=1', 'B=\"x\ty\"']\n"
                    "  post_build:\n    commands:\n      - basename \"$PWD\"; echo \"$A|$B\"; sh -c 'echo $A'\n")
        self.assertEqual(self.lines("post_build"), ["sub", "1|x\ty", "1"])

    def test_options_of_the_shell_last_one_command(self):
        self.run_it(build("set -e; true", "false; echo went-on", "set -u; true", 'echo "[$NOT_SET]"', "set -x; :", "echo quiet",
                          "alias ll='echo alias'; :", "ll 2>/dev/null || echo no-alias", "ulimit -n 77; :", "[ $(ulimit -n) != 77 ] && echo no-ulimit"))
        self.assertEqual(self.lines(), ["went-on", "[]", "quiet", "no-alias", "no-ulimit"])
        self.run_it(self.bash("shopt -s extglob; A=(1 2 3)", "shopt extglob | cut -f2; echo \"${#A[@]}\"", "set -o pipefail; :",
                              "false | true; echo $?"))
        self.assertEqual(self.lines(), ["off", "0", "0"])

    def test_set_e_loses_the_state(self):
        self.run_it("version: 0.2\nphases:\n  build:\n    on-failure: CONTINUE\n    commands:\n      - A=before\n      - |\n"
                    "        set -e\n        A=lost\n        cd /\n        false\n        A=never\n"
                    "  post_build:\n    commands:\n      - echo \"$A $PWD\"\n", code=1)
        self.assertEqual(self.lines("post_build"), ["before " + self.dir])

    def test_a_syntax_error(self):
        text = ("version: 0.2\nphases:\n  build:\n    on-failure: CONTINUE\n    commands:\n      - |\n        A=lost\n"
                "        echo ran\n        if then\n  post_build:\n    commands: ['echo \"[$A]\"']\n")
        self.run_it(text, code=1)
        self.assertEqual(self.events("command-ended")[0]["exit"], 2)
        self.assertEqual(self.lines("post_build"), ["[]"])
        self.assertEqual(self.lines(), ["ran"])

    def test_readonly_under_dash(self):
        if os.path.basename(os.path.realpath("/bin/sh")) == "dash":
            self.run_it(build("readonly R=1", "R=2", "echo $R"))
            self.assertEqual(self.lines(), ["2"])

    def test_pipefail_under_dash(self):
        if os.path.basename(os.path.realpath("/bin/sh")) == "dash":
            self.run_it(build("set -o pipefail"), code=1)
            self.assertEqual(self.events("command-ended")[0]["exit"], 2)
            self.assertIn("pipefail", self.lines(stream="stderr")[0])

    def test_an_injected_variable_comes_back(self):
        self.env["INJECTED"] = "outer"
        self.run_it(build("unset INJECTED; echo \"[$INJECTED]\"", "echo \"[$INJECTED]\"", "INJECTED=", "echo \"[$INJECTED]\""))
        self.assertEqual(self.lines(), ["[]", "[outer]", "[]"])

    def test_a_job_in_the_background_keeps_its_output(self):
        self.run_it(build("nohup sh -c 'until [ -e go ]; do :; done; echo late; touch done' 2>/dev/null &", "touch go",
                          "until [ -e done ]; do :; done"))
        self.assertIn("late", self.lines())
        self.assertEqual(self.left(), [])

    def test_exit_is_the_status(self):
        self.run_it(build("exit 0", "echo on", "exit 77", "echo no"), code=1)
        self.assertEqual(self.lines(), ["on"])
        self.assertEqual([e["exit"] for e in self.events("command-ended")], [0, 0, 77])


class Terminal:
    """mrpipe on a pseudo-terminal of its own session."""

    def __init__(self, case, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(case.dir)
            env = {k: v for k, v in case.env.items() if k not in ("CI", "NO_COLOR")} | {"TERM": "xterm"}
            os.execve(BUILD + "/mrpipe", ["mrpipe", "run", "b.yml", "--plugin-dir", SO, *args], env)
        self.text = ""

    def read(self, until=None):
        while not (until and until(self.text)):
            if not select.select([self.fd], [], [], 30)[0]:
                raise AssertionError("nothing more came: " + self.text)
            try:
                block = os.read(self.fd, 65536)
            except OSError:
                block = b""
            if not block:
                break
            self.text += block.decode(errors="replace")

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        self.read()
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Stop(Case):
    BUSY = build("A=kept", "echo $$ > pid; sleep 300 & sh -c 'sleep 300'; true",
                 more=stages(note("first", needs=[], with_={"changed": True, "file": "f"}),
                             {"id": "h", "uses": "trial/hang", "needs": ["first"], "with": {"text": "polite"}}, note("n", needs=["build"]), head=""))

    def test_ctrl_c_at_the_terminal_and_on_again(self):
        self.write(self.BUSY)
        term = Terminal(self)
        term.read(lambda text: "hanging" in text and os.path.exists(self.dir + "/pid"))
        term.type(b"\x03")
        self.assertEqual(term.end(), 130, term.text)
        self.assertIn("--resume", term.text)
        self.assertEqual(self.left(), [])
        self.assertEqual(self.results(), {"first": "changed", "h": "cancelled", "n": "cancelled"})
        self.write(self.read("b.yml").replace("sh -c 'sleep 300'", "echo $A").replace("trial/hang", "trial/note"))
        self.run_it(None, "--resume")
        self.assertEqual(self.results(), {"first": "skipped", "h": "unchanged", "n": "unchanged"})
        self.assertIn("kept", self.lines())

    def test_twice_does_not_wait(self):
        self.write(stages({"id": "h", "uses": "trial/hang", "with": {"text": "stubborn"}}))
        term = Terminal(self)
        term.read(lambda text: "hanging" in text)
        term.type(b"\x03")
        term.read(lambda text: "SIGINT" in text)
        term.type(b"\x03")
        self.assertEqual(term.end(), 130)
        self.assertEqual(self.left(), [])

    def test_the_reader_of_the_output_goes_away(self):
        self.write(build(*["i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"] * 2, "touch ran-to-its-end"))
        run = subprocess.Popen(self.command(), cwd=self.dir, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        run.stdout.readline()
        run.stdout.close()
        run.wait(60)
        self.assertEqual(self.left(), [])
        self.assertTrue(os.path.exists(self.dir + "/ran-to-its-end"))


class Formats(Case):
    TEXT = build("echo hello", "echo oops >&2; false", more=stages(note("a"), head=""))

    def run_format(self, *args, **env):
        self.env |= env
        self.write(self.TEXT)
        run = subprocess.run(self.command(*args), cwd=self.dir, env=self.env, capture_output=True, timeout=60)
        self.assertEqual(run.returncode, 1)
        return run.stdout.decode()

    def test_json_is_the_journal(self):
        lines = [json.loads(x) for x in self.run_format("--log-format", "json").splitlines()]
        self.assertEqual(lines, self.events())

    def test_codebuild(self):
        text = self.run_format("--log-format", "codebuild")
        stamp = re.compile(r"^\[Container\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} ", re.M)
        found = stamp.sub("# ", text)
        for line in ("# Entering phase BUILD", "# Running command echo hello\nhello\n\n", "#  BUILD: 2 commands",
                     "# Command did not exit successfully echo oops >&2; false exit status 1",
                     "# Phase complete: BUILD State: FAILED",
                     "# Phase context status code: COMMAND_EXECUTION_ERROR Message: Error while executing command: echo oops >&2; false."
                     " Reason: exit status 1"):
            self.assertIn(line, found)

    def test_colour_only_where_it_is_wanted(self):
        self.assertNotIn("\x1b", self.run_format())
        self.assertIn("\x1b[", self.run_format("--color", "always"))
        for env in ({"NO_COLOR": "1"}, {"CI": "true"}):
            with self.subTest(env):
                self.write(build("true"))
                pid, fd = pty.fork()
                if pid == 0:
                    os.chdir(self.dir)
                    os.execve(BUILD + "/mrpipe", ["mrpipe", "run", "b.yml"], {k: v for k, v in self.env.items() if k != "CI"} | {"TERM": "xterm"} | env)
                text = b""
                while True:
                    try:
                        block = os.read(fd, 65536)
                    except OSError:
                        break
                    if not block:
                        break
                    text += block
                os.close(fd)
                self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
                # NO_COLOR forbids colours, CI forbids lines that are drawn again.
                self.assertNotRegex(text, rb"\x1b\[[0-9;]+m" if "NO_COLOR" in env else rb"\x1b\[(\?25l|\d*A|K)")


class Tools(Case):
    def tool(self, *words, code=0):
        run = subprocess.run([BUILD + "/mrpipe", *words], cwd=self.dir, env=self.env, capture_output=True, timeout=60)
        self.assertEqual(run.returncode, code, run.stdout + run.stderr)
        return run.stdout.decode()

    def test_schema_is_json(self):
        schema = json.loads(self.tool("schema", "--plugin-dir", BUILD + "/plugins"))
        self.assertIn("$schema", schema)
        text = json.dumps(schema)
        for word in ("ecr/copy", "to-regions", "runtime-versions", "for-each"):
            self.assertIn(word, text)

    def test_completion_in_bash(self):
        script = self.tool("completion", "bash", "--plugin-dir", BUILD + "/plugins")
        self.write(script, "mrpipe.bash")
        ask = ("source ./mrpipe.bash; f=$(complete -p mrpipe | sed 's/.*-F \\([^ ]*\\).*/\\1/'); COMP_WORDS=(mrpipe %s); COMP_CWORD=%d;"
               " COMP_LINE=\"mrpipe %s\"; COMP_POINT=${#COMP_LINE}; $f mrpipe; printf '%%s\\n' \"${COMPREPLY[@]}\"")
        env = self.env | {"PATH": BUILD + ":" + self.env["PATH"], "MRPIPE_PLUGIN_PATH": BUILD + "/plugins"}
        for words, want in (("va", "validate"), ("do ecr/c", "ecr/copy"), ("run --res", "--resume"), ("run --log-format co", "codebuild")):
            done = subprocess.run(["bash", "--norc", "-euc", ask % (words, len(words.split()), words)], cwd=self.dir, env=env,
                                  capture_output=True, text=True, timeout=60)
            self.assertIn(want, done.stdout.split(), (words, done.stdout, done.stderr))

    def test_init_writes_what_runs(self):
        self.write("version: 0.2\nphases:\n  build:\n    commands:\n      - echo '[]' > imagedefinitions.json\nartifacts:\n  files: imagedefinitions.json\n")
        self.tool("init", "--to", "us-east-1", "b.yml")
        self.tool("validate", "b.yml", "--plugin-dir", BUILD + "/plugins")
        self.assertIn("already", subprocess.run([BUILD + "/mrpipe", "init", "--to", "us-east-1", "b.yml"], cwd=self.dir, env=self.env,
                                                capture_output=True, text=True, timeout=60).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
