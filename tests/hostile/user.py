"""What a user sees of whole runs: places, rerun lines, plans, the table of shell state, formats, signals: python3 user.py BUILD_DIR"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "plugins"))
from harness import BUILD, SO, Case, build, note, stages, wait_for  # noqa: E402


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


if __name__ == "__main__":
    wait_for(lambda: os.path.exists(SO + "/trial.so"))
    unittest.main(verbosity=1)
