"""Who makes the workers, and what they have in them: python3 workers.py BUILD_DIR [Class[.test]...]"""

import os
import shutil
import signal
import subprocess
import unittest

from harness import BUILD, SO, Case, build, stages, wait_for


def look(id_, action="look", **with_):
    return {"id": id_, "uses": "memory/" + action, "with": with_}


class Workers(Case):
    """The last stage is carried out by the fork server itself, so what is tested stands before it."""

    def outputs(self, name):
        return {e["stage"]: e["value"] for e in self.events("output-set") if e["name"] == name}

    def own_plugins(self):
        so = self.dir + "/so"
        os.mkdir(so, 0o755)
        for name in ("memory.so", "trial.so"):
            shutil.copy(f"{SO}/{name}", so)
            os.chmod(f"{so}/{name}", 0o644)
        return so

    def test_stages_share_nothing(self):
        self.run_it(stages(look("a"), look("b"), look("c")))
        self.assertEqual(self.outputs("made"), {"a": "forked", "b": "forked", "c": "mapped"})
        self.assertEqual(set(self.outputs("count").values()), {"1"})
        self.assertEqual(set(self.outputs("dumpable").values()), {"no"})
        self.assertEqual([e["text"].strip() for e in self.events("output")], ["checked"] * 3)
        self.assertEqual(self.left(), [])

    def test_what_one_stage_was_told_no_other_has(self):
        self.run_it(stages(look("a", "token"), look("b", text="${{ stages.a.outputs.token }}"),
                           look("c", "scan", text="${{ stages.a.outputs.token }}"), look("d", "scan"), look("e", "scan")))
        self.assertEqual(self.outputs("found"), {"c": "yes", "d": "no", "e": "no"})
        self.assertEqual(self.outputs("made")["d"], "forked")

    def test_a_plugin_that_changed_is_mapped_anew(self):
        so = self.own_plugins()
        change = "cp so/memory.so so/new && touch -r so/memory.so so/new && mv so/new so/memory.so"
        self.run_it(build("true", more=stages(look("a"), look("b"), head="")), plugins=so)
        self.assertEqual(self.outputs("made")["a"], "forked")
        self.run_it(build(change, more=stages(look("a"), look("b"), head="")), plugins=so)
        self.assertEqual(self.outputs("made")["a"], "mapped")
        self.run_it(build("chmod g+w so/memory.so", more=stages(look("a"), look("b"), head="")), code=4, plugins=so)
        self.assertIn("may be written by others", self.said)

    def test_the_server_dies_or_stops(self):
        for sent in ("KILL", "STOP"):
            self.run_it(stages(look("a", server=sent), look("b"), look("c")))
            self.assertEqual(self.outputs("made"), {"a": "forked", "b": "mapped", "c": "mapped"})
            self.assertEqual(self.left(), [])

    def test_a_plugin_with_a_thread(self):
        self.run_it(stages({"id": "a", "uses": "thread/ask"}, {"id": "b", "uses": "thread/ask"}))
        self.assertEqual(self.outputs("answer"), {"a": "here", "b": "here"})

    def test_misbehaving_plugins(self):
        for action, word in (("crash", "SIGSEGV"), ("exit", "without a result"), ("garbage", "no frame")):
            self.run_it(stages({"id": "x", "uses": "trial/" + action, "with": {"text": "t"}, "on-failure": "continue"},
                               look("y")), code=1)
            self.assertIn(word, self.events("stage-ended")[0]["error"]["message"])
            self.assertEqual(self.results()["y"], "skipped")
            self.assertEqual(self.left(), [])

    def test_many_at_once(self):
        many = [dict(look(f"s{i}"), needs=[]) for i in range(40)]
        self.run_it(stages(*many), "--jobs", "16")
        self.assertEqual(set(self.outputs("count").values()), {"1"})
        self.assertEqual(sum(v == "forked" for v in self.outputs("made").values()), 39)
        self.assertEqual(self.left(), [])

    def test_a_large_environment_and_bytes_that_are_no_text(self):
        self.env.update({f"BIG{i}": "x" * 100000 for i in range(8)})
        self.env[os.fsdecode(b"BYTES\xff")] = os.fsdecode(b"\xff\xfe")
        self.run_it(stages(look("a"), look("b")))
        self.assertEqual(self.outputs("made")["a"], "forked")

    def test_retries_after_the_last(self):
        self.run_it(stages(look("a"), {"id": "f", "uses": "trial/fail", "with": {"text": "t", "times": 2}, "retries": 2}))
        self.assertEqual(self.results()["f"], "changed")

    def test_timeout(self):
        for text in ("polite", "stubborn"):
            self.run_it(stages({"id": "h", "uses": "trial/hang", "with": {"text": text}, "timeout": "200ms",
                                "on-failure": "continue"}, dict(look("z"), needs=[])), "--jobs", "1", code=7)
            self.assertIn("did not end within", self.events("stage-ended")[0]["error"]["message"])
            self.assertEqual(self.left(), [])

    def test_nothing_outlives_a_killed_runner(self):
        self.write(stages({"id": "h", "uses": "trial/hang", "with": {"text": "stubborn"}}, look("z")))
        run = subprocess.Popen(self.command(), cwd=self.dir, env=self.env, stdout=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(f"{self.dir}/.mrpipe/runs/last/events.jsonl") and
                 any(e.get("text") == "hanging" for e in self.events()))
        self.assertGreaterEqual(len(self.left()), 4)  # runner, server, worker and its child
        run.send_signal(signal.SIGKILL)
        run.wait()
        wait_for(lambda: not self.left())

    def test_standard_input_and_a_debugger(self):
        for more in ((), ("--in-process",)):
            done = subprocess.run([BUILD + "/mrpipe", "do", "memory/look", "--plugin-dir", SO, *more], cwd=self.dir,
                                  env=self.env, input=b"given", capture_output=True, check=True)
            self.assertEqual(self.outputs("input"), {"look": "given"}, done.stdout)
        self.run_it(stages(look("a"), look("b")))
        self.assertEqual(set(self.outputs("input").values()), {""})


unittest.main(verbosity=1)
