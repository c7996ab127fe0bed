"""Whole runs of the runner with the test plugins: python3 runs.py BUILD_DIR [Class[.test]...]"""

import base64
import json
import os
import shutil
import signal
import subprocess
import unittest
import urllib.parse

from harness import BUILD, SO, build, Case, note, stages, wait_for


class Shell(Case):
    """The table of reference/buildspec.md 1.2."""

    def test_state_that_lives_on(self):
        self.run_it(build("X=1", "export Y='a b\n$c \"d\"'\n", "cd sub", 'echo "$X|$Y|$(basename $(pwd))"',
                          "unset X", 'echo "[$X]"', head="version: 0.2\n") if os.makedirs(self.dir + "/sub") is None else "")
        self.assertEqual(self.lines(), ["1|a b", '$c "d"|sub', "[]"])

    def test_state_that_does_not(self):
        self.run_it(build("f() { echo func; }", "set -u; umask 077; trap 'echo trap' EXIT; exec 5>five",
                          'echo "${NOT_SET}ok"; umask; type f >/dev/null 2>&1 || echo no-f; (echo x >&5) 2>/dev/null || echo no-5'))
        self.assertEqual(self.lines(), ["trap", "ok", "0022", "no-f", "no-5"])

    def test_exit_loses_the_state(self):
        self.run_it(build("A=kept", "A=lost; cd /; exit 0", 'echo "$A $(pwd)"'))
        self.assertEqual(self.lines(), ["kept " + self.dir])

    def test_only_the_last_line_counts(self):
        self.run_it(build("false\ntrue", "false | true", "echo reached"))
        self.assertEqual(self.lines(), ["reached"])

    def test_set_e_and_line_numbers(self):
        self.run_it(build("set -e\nfalse\necho no", "echo never"), code=1)
        self.assertEqual(self.lines(), [])
        self.run_it(build("nosuchcommand"), code=1)
        self.assertIn("script.sh: 4: nosuchcommand: not found", self.lines(stream="stderr")[0])
        self.assertEqual(self.events("command-ended")[-1]["exit"], 127)

    def test_an_injected_variable(self):
        self.env["INJECTED"] = "outer"
        self.run_it(build("unset INJECTED", 'echo "$INJECTED"', "INJECTED=mine", 'echo "$INJECTED"',
                          "CODEBUILD_BUILD_SUCCEEDING=7", "echo $CODEBUILD_BUILD_SUCCEEDING"))
        self.assertEqual(self.lines(), ["outer", "mine", "1"])

    def test_background_jobs(self):
        self.run_it(build("sleep 300 & echo $! > pid", "kill -0 $(cat pid) && echo alive", "wait $(cat pid); echo $?"))
        self.assertEqual(self.lines(), ["alive", "127"])
        self.assertEqual(self.left(), [])

    def test_a_daemon_goes_with_the_run(self):
        self.run_it(build("setsid sh -c 'setsid sleep 300 & echo $! > pid' &", "until [ -s pid ]; do :; done"))
        self.assertFalse(os.path.exists("/proc/" + self.read("pid").strip()))

    def test_literal_variables_and_precedence(self):
        head = "version: 0.2\nenv:\n  variables:\n    P: '$HOME:x'\n    Q: spec\n"
        self.env["Q"] = "caller"
        self.run_it(build('echo "$P $Q"', head=head), "--env", "P=given")
        self.assertEqual(self.lines(), ["given spec"])
        self.run_it(None)
        self.assertEqual(self.lines(), ["$HOME:x spec"])

    def test_bash(self):
        head = "version: 0.2\nenv:\n  shell: bash\n"
        self.run_it(build('cat <<< "here $BASH_VERSION" | cut -c1-4', "set -o pipefail; false | true || echo piped",
                          "V=$'a\\tb'", '[[ $V == *b ]] && printf "%s\\n" "$V"', "readonly R=1", "R=2 || true\necho $R", head=head))
        self.assertEqual(self.lines(), ["here", "piped", "a\tb", "1"])
        self.assertIn("readonly", self.lines(stream="stderr")[0])

    def test_version_0_1(self):
        self.run_it(build("X=1; cd /", 'echo "[$X] $(pwd)"', head="version: 0.1\n"))
        self.assertEqual(self.lines(), ["[] " + self.dir])

    def test_stdin_is_empty_and_bytes_are_cleaned(self):
        self.run_it(build("cat; tty -s || echo no tty", "printf 'a\\377b\\000c\\n'", "printf no-newline"))
        self.assertEqual(self.lines(), ["no tty", "a\ufffdbc", "no-newline"])


class Phases(Case):
    def spec(self, **phases):
        text = "version: 0.2\nphases:\n"
        for name, body in phases.items():
            text += f"  {name}:\n"
            for key, value in body.items():
                text += f"    {key.replace('_', '-')}: {json.dumps(value)}\n"
        return text

    def test_install_and_pre_build_stop(self):
        for phase in ("install", "pre_build"):
            self.run_it(self.spec(**{phase: {"commands": ["false"]}, "build": {"commands": ["echo no"]}}), code=1)
            self.assertEqual(self.phases()[phase], "failed")
            self.assertEqual(self.phases()["build"], "skipped")
            self.assertEqual(self.lines(), [])

    def test_build_failure_runs_post_build(self):
        self.run_it(self.spec(build={"commands": ["exit 3", "echo no"]},
                              post_build={"commands": ["echo $CODEBUILD_BUILD_SUCCEEDING"]}), code=1)
        self.assertEqual(self.lines("post_build"), ["0"])
        card = self.events("failure")[0]
        self.assertEqual((card["exit"], card["where"], card["line"]), (3, "phase build, command 1", 4))

    def test_abort_and_continue(self):
        self.run_it(self.spec(build={"commands": ["false"], "on_failure": "ABORT"},
                              post_build={"commands": ["echo no"]}), code=1)
        self.assertEqual(self.lines("post_build"), [])
        self.run_it(self.spec(install={"commands": ["false"], "on_failure": "CONTINUE"},
                              build={"commands": ["echo $CODEBUILD_BUILD_SUCCEEDING"]}), code=1)
        self.assertEqual(self.lines(), ["0"])

    def test_finally(self):
        self.run_it(self.spec(build={"commands": ["echo a", "false", "echo b"],
                                     "finally": ["echo f$CODEBUILD_BUILD_SUCCEEDING", "false", "echo g"]}), code=1)
        self.assertEqual(self.lines(), ["a", "f0"])
        self.run_it(self.spec(build={"commands": ["echo a"], "finally": ["exit 4"]}), code=1)
        self.assertEqual(self.phases()["build"], "failed")

    def test_retry(self):
        self.run_it(self.spec(build={"commands": ["N=$((N+1)); echo try $N", "[ $N -ge 3 ]"], "on_failure": "RETRY-5"}))
        self.assertEqual(self.lines(), ["try 1", "try 2", "try 3"])
        ended = [e for e in self.events("phase-ended") if e["phase"] == "build"][0]
        self.assertEqual((ended["attempts"], ended["result"]), (3, "succeeded"))
        self.run_it(self.spec(build={"commands": ["echo x", "echo flaky network >&2; false"], "on_failure": "RETRY-2-flaky.*"}), code=1)
        self.assertEqual(self.lines(), ["x"] * 3)
        self.run_it(self.spec(build={"commands": ["echo x", "false"], "on_failure": "RETRY-2-other"}), code=1)
        self.assertEqual(self.lines(), ["x"])

    def test_run_as(self):
        if os.geteuid() != 0:
            self.run_it(self.spec(build={"commands": ["id"], "run_as": "nobody"}), code=1)
            return
        os.chmod(self.dir, 0o755)
        self.run_it(self.spec(install={"commands": ["V=1"]}, build={"commands": ["id -un; echo $V", "W=2"], "run_as": "nobody"},
                              post_build={"commands": ["echo $(id -un) $W"]}))
        self.assertEqual(self.lines(), ["nobody", "1"])
        self.assertEqual(self.lines("post_build"), ["root 2"])
        self.run_it(self.spec(build={"commands": ["id"], "run_as": "nosuchuser"}), code=1)
        self.assertIn("no user `nosuchuser`", self.said)

    def test_environment_and_source_version(self):
        git = lambda *a: subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e@x", *a], cwd=self.dir, check=True,  # noqa: E731
                                        capture_output=True, text=True).stdout.strip()
        git("init", "-q", "-b", "main")
        git("commit", "-q", "--allow-empty", "-m", "m")
        git("remote", "add", "origin", "https://user:pass@example.com/r.git")
        commit = git("rev-parse", "HEAD")
        self.env["AWS_DEFAULT_REGION"] = "eu-west-1"
        spec = build("echo $CODEBUILD_RESOLVED_SOURCE_VERSION $CODEBUILD_SOURCE_VERSION $CODEBUILD_SOURCE_REPO_URL",
                     "echo $CODEBUILD_SRC_DIR $AWS_REGION $AWS_DEFAULT_REGION $CODEBUILD_CI")
        self.run_it(spec)
        want = [f"{commit} main https://example.com/r.git", f"{self.dir} eu-west-1 eu-west-1 true"]
        self.assertEqual(self.lines(), want)
        git("pack-refs", "--all")
        self.run_it(spec)
        self.assertEqual(self.lines(), want)

    def test_exported_variables(self):
        head = "version: 0.2\nenv:\n  exported-variables: [TAG, AWS_X, NOT]\n"
        self.run_it(build("TAG=v1; AWS_X=2", head=head))
        self.assertEqual(json.loads(self.read(".mrpipe/runs/last/outputs.json"))["exported-variables"], {"TAG": "v1"})

    def test_helpers_and_the_get_login_shim(self):
        tools = self.dir + "/tools"
        os.mkdir(tools)
        token = base64.b64encode(b"AWS:registry-password").decode()
        with open(tools + "/aws", "w") as f:
            f.write("#!/bin/sh\ncase \"$*\" in\n'ecr get-login '*) echo 'aws: error: argument operation: Invalid choice' >&2; exit 252;;\n"
                    f"'ecr get-authorization-token '*) echo \"$*\" > args; printf '{token}\\thttps://1.dkr.ecr.r.amazonaws.com\\n';;\n"
                    "*) echo real \"$@\";;\nesac\n")
        with open(tools + "/docker", "w") as f:
            f.write("#!/bin/sh\necho docker $1 $3 $# $6\necho with $5 >&2\n")
        for name in ("aws", "docker"):
            os.chmod(f"{tools}/{name}", 0o755)
        self.env["PATH"] = tools + ":" + self.env["PATH"]
        self.run_it(build("$(aws ecr get-login --no-include-email --region us-east-1)", "aws s3 ls 'a b'",
                          "codebuild-breakpoint", "echo x > f.txt; codebuild-hash-files '**/*.txt' | wc -c"))
        self.assertEqual(self.lines(), ["docker login AWS 6 https://1.dkr.ecr.r.amazonaws.com", "real s3 ls a b", "65"])
        self.assertIn("no `ecr get-login`", " ".join(self.lines(stream="stderr")))
        self.assertIn("--region us-east-1", self.read("args"))
        self.assertNotIn("registry-password", self.said)
        self.assertIn("with ***", self.said)


class Stages(Case):
    def test_outputs_fan_out_and_order(self):
        self.run_it(stages(note("a", needs=[], with_={"changed": True}),
                           note("b", "${{ stages.a.outputs.text }} ${{ region }}", for_each={"region": "${{ regions.all }}"}),
                           note("c", "${{ stages.b.outputs.region }}") | {"with": {"text": "x", "list": "${{ regions.secondary }}"}}))
        self.assertEqual(self.results(), {"a": "changed", "b[us-west-2]": "unchanged", "b[us-east-1]": "unchanged",
                                          "b[eu-west-1]": "unchanged", "c": "unchanged"})
        texts = [e["text"] for e in self.events("output") if e.get("stage") == "b[us-east-1]"]
        self.assertEqual(texts, ["text hi us-east-1"])
        self.assertEqual([e["text"] for e in self.events("output") if e.get("stage") == "c"],
                         ["text x", "item us-east-1", "item eu-west-1"])

    def test_environment_after_the_phases(self):
        self.run_it(build("TRIAL=\"it's\\n${HOME}\"", more=stages(note("a", "${{ env.TRIAL }}"), note("b", env={"TRIAL": "own"}), head="")))
        values = {e["stage"]: e["value"] for e in self.events("output-set") if e["name"] == "env"}
        self.assertIn("it's", values["a"])
        self.assertEqual(values["b"], "own")

    def test_retries_and_failure_card(self):
        fail = {"id": "f", "uses": "trial/fail", "with": {"text": "t", "times": 1}, "retries": 2}
        self.run_it(stages(fail))
        ended = self.events("stage-ended")[0]
        self.assertEqual((ended["attempts"], ended["result"]), (2, "changed"))
        fail["retries"] = 0
        self.run_it(stages(fail, note("next")), code=6)
        self.assertEqual(self.results(), {"f": "failed", "next": "skipped"})
        card = self.events("failure")[0]
        self.assertEqual((card["where"], card["error"]["code"]), ("f", "remote"))
        self.assertIn("attempt 1 goes wrong", card["tail"])
        self.assertIn("--from f", card["rerun"])
        self.assertIn("attempt 1 failed", self.said)

    def test_on_failure_and_if(self):
        fail = {"id": "f", "uses": "trial/fail", "needs": [], "with": {"text": "auth", "times": 9}}
        self.run_it(stages(fail | {"on-failure": "continue"}, note("other", needs=[]), note("after"), note("left", needs=["f"]),
                           note("alarm", needs=["f"]) | {"if": "stages.f.result == 'failed'"},
                           note("never", needs=["other"]) | {"if": "stages.other.result == 'failed'"}), code=5)
        results = self.results()
        self.assertEqual((results["f"], results["other"], results["alarm"], results["never"]),
                         ("failed", "unchanged", "unchanged", "skipped"))
        self.assertEqual((results["after"], results["left"]), ("unchanged", "skipped"))

    def test_a_condition_that_cannot_be_told(self):
        for retries in (0, 2):
            self.run_it(stages(note("n") | {"if": "env.NO_SUCH == 'yes'", "retries": retries}), code=1)
            self.assertEqual(self.results(), {"n": "failed"})
            self.assertEqual(self.events("stage-started"), [])
            self.assertIn("the variable NO_SUCH is not set", self.said)

    def test_timeout(self):
        self.run_it(stages({"id": "h", "uses": "trial/hang", "timeout": "300ms", "with": {"text": "stubborn"}}), code=7)
        self.assertEqual(self.events("stage-ended")[0]["error"]["code"], "timeout")
        self.assertEqual(self.left(), [])

    def test_plan_writes_nothing_and_selection(self):
        self.write(stages(note("a", with_={"file": "made.txt"}), note("b", "${{ stages.a.outputs.text }}"), note("c", needs=["a"])))
        run = subprocess.run([BUILD + "/mrpipe", "plan", "b.yml", "--plugin-dir", SO], cwd=self.dir, env=self.env, capture_output=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertFalse(os.path.exists(self.dir + "/made.txt"))
        self.assertIn(b"would say hi", run.stdout)
        self.assertFalse(os.path.exists(self.dir + "/.mrpipe/runs/last"))
        self.run_it(None)
        self.assertEqual(self.events("run-ended")[0]["artifacts"], ["made.txt"])
        verify = subprocess.run([BUILD + "/mrpipe", "verify", "b.yml", "--plugin-dir", SO], cwd=self.dir, env=self.env, capture_output=True, timeout=60)
        self.assertEqual(verify.returncode, 0, verify.stdout + verify.stderr)
        os.rename(self.dir + "/made.txt", self.dir + "/away.txt")
        verify = subprocess.run([BUILD + "/mrpipe", "verify", "b.yml", "--plugin-dir", SO], cwd=self.dir, env=self.env, capture_output=True, timeout=60)
        self.assertEqual(verify.returncode, 1, verify.stdout + verify.stderr)
        self.assertIn(b"differs", verify.stdout)
        self.run_it(None, "--stage", "b")
        self.assertEqual(self.results(), {"a": "skipped", "b": "unchanged", "c": "skipped"})

    def test_stages_beside_the_phases(self):
        """A stage that needs nothing starts at once: here the phases wait for what it writes."""
        self.run_it(build("until [ -s beside ]; do :; done", "cat beside",
                          more=stages(note("early", needs=[], with_={"file": "beside"}), note("late", needs=["build"]), head="")))
        self.assertEqual(self.lines(), ["hi"])
        self.run_it(build("false", more=stages(note("late"), head="")), code=1)
        self.assertEqual(self.results(), {"late": "skipped"})


class Bad(Case):
    def test_misbehaving_plugins(self):
        for action, word in (("crash", "SIGSEGV"), ("exit", "without a result"), ("garbage", "no frame")):
            self.run_it(stages({"id": "x", "uses": "trial/" + action, "with": {"text": "t"}}), code=1)
            self.assertIn(word, self.events("stage-ended")[0]["error"]["message"])
            self.assertEqual(self.left(), [])

    def test_a_frame_without_end(self):
        self.run_it(stages({"id": "x", "uses": "trial/garbage", "with": {"text": "flood"}}), code=1)
        self.assertIn("over 8 MiB", self.events("stage-ended")[0]["error"]["message"])

    def test_plugins_that_cannot_be_loaded(self):
        for name, word in (("nosuch", "there is no plugin `nosuch`"), ("oldabi", "ABI 2.0"), ("ctor", "crashed")):
            self.run_it(stages({"id": "x", "uses": name + "/y"}), code=4)
            self.assertIn(word, self.said)
        self.assertFalse(os.path.exists(self.dir + "/.mrpipe"))

    def test_files_that_others_may_write(self):
        for target, mode in (("trial.so", 0o664), ("", 0o777)):
            so = f"{self.dir}/so{mode}"
            os.mkdir(so, 0o755)
            shutil.copy(SO + "/trial.so", so)
            os.chmod(f"{so}/trial.so", 0o644)
            os.chmod(os.path.join(so, target), mode)
            self.run_it(stages(note("a")), code=4, plugins=so)
            self.assertIn("may be written by others", self.said)

    def test_pins(self):
        import hashlib

        with open(SO + "/trial.so", "rb") as f:
            digest = hashlib.sha256(f.read()).hexdigest()
        pin = '  plugins:\n    trial:\n      version: "%s"\n      sha256: %s\n'
        self.run_it(stages(note("a"), pipeline=pin % ("1.2.3", digest)))
        self.run_it(stages(note("a"), pipeline=pin % ("1.2.4", digest)), code=4)
        self.assertIn("the spec pins 1.2.4", self.said)
        self.run_it(stages(note("a"), pipeline=pin % ("1.2.3", "0" * 64)), code=4)
        self.assertIn("sha256", self.said)

    def test_wrong_options_are_found_before_anything_runs(self):
        self.run_it(build("touch ran", more=stages(
            note("a", with_={"tekst": "x", "changed": "perhaps"}), {"id": "b", "uses": "trial/note"}, {"id": "c", "uses": "trial/nte"},
            note("d", "refused"), note("e", "${{ stages.a.outputs.txt }}"), head="")), code=3)
        for word in ("tekst", "did you mean `text`", "changed", "did you mean `trial/note`", "this text is refused", "no output `txt`"):
            self.assertIn(word, self.said)
        self.assertFalse(os.path.exists(self.dir + "/ran"))

    def test_cycles_and_unknown_needs(self):
        self.run_it(stages(note("a", needs=["b"]), note("b", needs=["a"])), code=3)
        self.assertIn("wait for each other", self.said)
        self.run_it(stages(note("a", needs=["zz"])), code=3)
        self.run_it(stages(note("a", for_each={"n": [str(i) for i in range(1001)]})), code=3)
        self.assertIn("1000", self.said)


class Masking(Case):
    SECRET = "s3cr3t/+ \"pa'ss\"\nsecond line of it\\"

    def everything(self):
        out = self.said
        for base, _, files in os.walk(self.dir + "/.mrpipe"):
            for name in files:
                with open(os.path.join(base, name), errors="replace") as f:
                    out += f.read()
        return out

    def check(self):
        shown, s = self.everything(), self.SECRET
        forms = [s, *s.split("\n"), json.dumps(s)[1:-1], urllib.parse.quote(s, safe=""), base64.b64encode(s.encode()).decode(),
                 json.dumps(json.dumps(s)[1:-1])[1:-1]]
        for form in forms:
            self.assertNotIn(form, shown)
        self.assertIn("***", shown)

    def test_a_worker_that_leaks(self):
        self.run_it(stages({"id": "l", "uses": "trial/leak", "with": {"text": self.SECRET}}), code=6)
        self.check()

    def test_a_secret_option(self):
        self.run_it(stages(note("s", with_={"secret": self.SECRET})))
        self.check()

    def test_a_command_registers_a_secret(self):
        self.run_it(build("echo made-up-here >> $MRPIPE_SECRETS; echo it is made-up-here", "echo made-up-here | base64"))
        self.assertEqual([text[:9] for text in self.lines()], ["it is ***", "***Cg=="])

    def test_the_callers_keys(self):
        self.env["AWS_SECRET_ACCESS_KEY"] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
        self.run_it(build("env | grep AWS_SECRET", "printf wJalrXUtnFEMI/K7MD; sleep 0.05; echo ENG+bPxRfiCYEXAMPLEKEY"))
        self.assertNotIn("wJalrXUtnFEMI/K7MDENG", self.everything())


class Signals(Case):
    def start(self, text):
        self.write(text)
        return subprocess.Popen(self.command(), cwd=self.dir, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def busy(self):
        return build("echo $$ > pid; sh -c 'sleep 300' & sleep 300; true",
                     more=stages({"id": "h", "uses": "trial/hang", "needs": [], "with": {"text": "polite"}}, note("n", needs=["build"]), head=""))

    def under_way(self):
        return os.path.exists(self.dir + "/pid") and os.path.exists(self.dir + "/.mrpipe/runs/last/events.jsonl") and len(
            [e for e in self.events("log") if e["text"] == "hanging"]) and len(self.left()) > 3

    def test_kill_9_leaves_nothing(self):
        run = self.start(self.busy())
        wait_for(self.under_way)
        run.kill()
        run.wait()
        wait_for(lambda: not self.left())
        os.unlink(self.dir + "/pid")
        self.write(build("echo again", more=stages(note("n", needs=["build"]), head="")))
        self.run_it(None, "--resume")
        self.assertEqual(self.results(), {"n": "unchanged"})

    def test_sigterm_and_resume(self):
        for sig, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            if os.path.exists(self.dir + "/pid"):
                os.unlink(self.dir + "/pid")
            run = self.start(self.busy())
            wait_for(self.under_way)
            run.send_signal(sig)
            self.assertEqual(run.wait(30), code)
            self.assertEqual(self.left(), [])
            self.assertEqual(self.results(), {"h": "cancelled", "n": "cancelled"})
            self.assertEqual((self.phases()["build"], self.phases()["post_build"]), ("cancelled", "skipped"))
        self.assertEqual(self.events("run-ended")[0]["result"], "cancelled")

    def test_resume_takes_over_what_is_done(self):
        self.write(build("T=tag; echo ran >> count", more=stages(
            note("a", "${{ env.T }}", with_={"changed": True, "file": "out.txt"}), {"id": "f", "uses": "trial/hang", "with": {"text": "polite"}},
            note("z", "${{ stages.a.outputs.text }}"), head="")))
        run = subprocess.Popen(self.command(), cwd=self.dir, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.dir + "/.mrpipe/runs/last/events.jsonl") and any(e["stage"] == "f" for e in self.events("stage-started")))
        run.terminate()
        self.assertEqual(run.wait(30), 143)
        self.write(self.read("b.yml").replace("trial/hang", "trial/note"))
        self.run_it(None, "--resume")
        self.assertEqual(self.read("count"), "ran\n")
        self.assertEqual(self.results(), {"a": "skipped", "f": "unchanged", "z": "unchanged"})
        ended = {e["stage"]: e for e in self.events("stage-ended")}
        self.assertIn("inputs unchanged", ended["a"]["reason"])
        self.assertEqual([e["text"] for e in self.events("output") if e.get("stage") == "z"], ["text tag"])
        self.assertEqual(self.events("run-ended")[0]["artifacts"], ["out.txt"])
        self.run_it(None, "--from", "f")
        self.assertEqual(self.results(), {"a": "skipped", "f": "unchanged", "z": "unchanged"})
        self.write(self.read("b.yml").replace('"changed": true', '"changed": false'))
        self.run_it(None, "--resume")
        self.assertEqual(self.results(), {"a": "unchanged", "f": "unchanged", "z": "unchanged"})

    def test_old_runs_go(self):
        runs = self.dir + "/.mrpipe/runs"
        os.makedirs(runs)
        for i in range(60):
            os.mkdir(f"{runs}/20200101T0000{i:02d}Z-aaaaaa")
        self.run_it(build("true"))
        self.assertEqual(len([n for n in os.listdir(runs) if n[0] == "2"]), 50)
        self.assertEqual(self.read(".mrpipe/.gitignore"), "*\n")


unittest.main(verbosity=1)
