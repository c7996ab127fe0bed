"""Bad input as a user may give it: python3 hostile.py BUILD_DIR [Class[.test]...]

Every case ends at once with a clear message and the right exit code, within little memory, and leaves no process behind.
"""

import os
import resource
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "plugins"))
from harness import BUILD, SO, Case, build, note, stages  # noqa: E402

SANITIZED = os.environ.get("MRP_SANITIZED") == "1"
MEMORY = 96 << 20  # of address space: far under what these inputs would take if they were taken in


class Input(Case):
    def give(self, content, *args, code=3, says="", name="b.yml", command="run"):
        if content is not None:
            with open(f"{self.dir}/{name}", "wb") as f:
                f.write(content if isinstance(content, bytes) else content.encode())
        self.refused([command, name, *args], code, says)

    def refused(self, words, code, says, stdin=subprocess.DEVNULL):
        def limit():
            if not SANITIZED:
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (20, 20))

        run = subprocess.run([BUILD + "/mrpipe", *words, "--plugin-dir", SO], cwd=self.dir, env=self.env, stdin=stdin,
                             capture_output=True, timeout=60, preexec_fn=limit)
        text = (run.stdout + run.stderr).decode(errors="replace")
        self.assertEqual(run.returncode, code, text[:2000])
        for word in [says] if isinstance(says, str) else says:
            self.assertIn(word, text)
        self.assertLess(len(text), 100_000)
        self.assertFalse(any(c < " " and c != "\n" for c in text), "control characters reach the terminal")
        self.assertFalse(os.path.exists(self.dir + "/.mrpipe"), "a refused file leaves a run folder")

    def test_malformed_yaml(self):
        cases = {
            "version: 0.2\nphases:\n  build:\n    commands:\n      - \"echo\n": "b.yml:5:9: error",
            "version: 0.2\nphases: [\n": "error",
            "version: 0.2\nphases:\n\tbuild: 1\n": "not tabs",
            "version: 0.2\n  phases: {}\n": "b.yml:2:",
            "version: 0.2\nphases: {build: {commands: [a]}\n": "error",
            "version: 0.2\nphases: *nothing\n": "nothing",
            "%YAML 9.9\n---\nversion: 0.2\n": "error",
            "": "the file is empty",
            "# only a comment\n": "the file is empty",
            "just text\n": "must be a map",
            "- a\n- list\n": "must be a map",
            "version: 0.2\nphases: {}\nphases: {}\n": "line 2",
            "version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b\n": "b.yml:5:",
        }
        for text, says in cases.items():
            with self.subTest(text):
                self.give(text, says=says)

    def test_nesting(self):
        fine = "version: 0.2\nenv:\n  variables: {A: b}\nphases:\n  build:\n    commands: [':']\n"
        self.write(fine)
        self.run_it(fine)
        shutil.rmtree(self.dir + "/.mrpipe")
        for deep in ("x: " + "[" * 64 + "]" * 64, "phases: " + "{a: " * 70 + "1" + "}" * 70, "x: " + "[" * 500_000,
                     "x:\n" + "".join(" " * i + "- \n" for i in range(1, 200)), "x: " + "- " * 300_000):
            self.give("version: 0.2\n" + deep + "\n", says="b.yml:")
        self.give("- " * 400_000 + "x\n", says="nested more than 64 deep")

    def test_alias_bombs(self):
        lists = "a0: &a0 [" + "x," * 9 + "x]\n"
        merges = "m0: &m0 {k0: x}\n"
        for i in range(1, 12):
            lists += f"a{i}: &a{i} [" + ",".join([f"*a{i - 1}"] * 10) + "]\n"
            merges += f"m{i}: &m{i} {{<<: [*m{i - 1}, *m{i - 1}], k{i}: [*m{i - 1}, *m{i - 1}, *m{i - 1}]}}\n"
        self.give("version: 0.2\n" + lists + "phases: *a11\n", says="100,000 values after alias expansion")
        self.give("version: 0.2\n" + merges + "phases: *m11\n", says="100,000 values after alias expansion")
        self.give("version: 0.2\na: &a [*a]\nphases: {}\n", says="inside its own anchor")
        text = "x" * 100_000
        self.give(f"version: 0.2\nb: &b {text}\nc: [" + ", ".join(["*b"] * 5000) + "]\n", code=3, says="b.yml")

    def test_huge_files(self):
        with open(self.dir + "/big.yml", "wb") as f:
            f.write(b"version: 0.2\nphases:\n  build:\n    commands:\n")
            block = b"      - echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" * 16384
            while f.tell() < 100 << 20:
                f.write(block)
        for command in ("run", "plan", "validate", "graph", "verify"):
            self.refused([command, "big.yml"], 3, "larger than 1 MiB")
        self.refused(["init", "--to", "us-east-1", "big.yml"], 3, "larger than 1 MiB")
        with open(self.dir + "/big.yml", "rb") as f:
            self.refused(["run", "-"], 3, "larger than 1 MiB", stdin=f)
        self.fine()
        self.refused(["run", "fine.yml", "--with", "big.yml"], 3, "larger than 1 MiB")
        self.refused(["run", "/dev/zero"], 3, "larger than 1 MiB")
        os.unlink(self.dir + "/big.yml")

    def fine(self):
        self.write("version: 0.2\nphases:\n  build:\n    commands: [':']\n", "fine.yml")

    def test_many_of_everything(self):
        self.give("version: 0.2\n" + "".join(f"k{i}: 1\n" for i in range(60_000)), says="4096 keys")
        self.give("version: 0.2\nphases:\n  build:\n    commands:\n      - \"" + "a" * 900_000 + "\n", says="b.yml:5:9")
        self.give("version: 0.2\nphases:\n" + "".join(f"  buidl{i}: {{}}\n" for i in range(3000)), says="buidl0")
        self.give(stages(*[note(f"s{i}", needs=[f"s{i + 1}"]) for i in range(300)], note("s300", needs=["s0"])), says="s0")

    def test_binary_files(self):
        shutil.copy(sys.executable, self.dir + "/elf.yml")
        if os.path.getsize(self.dir + "/elf.yml") > 1 << 20:
            os.truncate(self.dir + "/elf.yml", 1 << 19)
        self.refused(["run", "elf.yml"], 3, "elf.yml")
        self.give(b"version: 0.2\nphases:\n  build:\n    commands:\n      - \"a\0b\"\n", says="NUL byte")
        self.give(b"version: 0.2\nphases:\n  build:\n    commands:\n      - \"a\xff\xfeb\"\n", says="not UTF-8 text")
        self.give("version: 0.2\n".encode("utf-16"), says="UTF-16")
        self.give(bytes(range(256)) * 64, says="b.yml")
        self.give(b"\x1f\x8b\x08\x00" + bytes(range(256)) * 16, says="b.yml")

    def test_no_file(self):
        self.refused(["run", "nope.yml"], 3, "nope.yml")
        self.refused(["run", "."], 3, "is a folder")
        self.refused(["run"], 3, "buildspec.yml")
        self.fine()
        self.refused(["run", "fine.yml", "--with", "nope.yml"], 3, "nope.yml")
        self.refused(["run", "fine.yml", "--resume", "20200101T000000Z-aaaaaa"], 2, "20200101T000000Z-aaaaaa")
        self.refused(["run", "fine.yml", "--from", "nosuch"], 3, "nosuch")
        self.refused(["run", "fine.yml", "--stage", "nosuch"], 3, "nosuch")
        self.refused(["run", "fine.yml", "-C", "nowhere"], 2, "nowhere")
        self.refused(["report", "../../etc"], 2, "etc")

    def test_hostile_expressions(self):
        deep = "lower(" * 5000 + "'x'" + ")" * 5000
        for text in ("${{ " + deep + " }}", "${{ " + "(" * 100_000 + " }}", "${{ env. }}", "${{ }}", "${{ a", "${{ stages.a.outputs.x }}",
                     "${{ " + "a && " * 20_000 + "b }}"):
            with self.subTest(text[:40]):
                self.give(stages(note("a", text)), says="b.yml:")

    def test_paths_stay_inside(self):
        for text in ("${{ file('../../../etc/passwd') }}", "${{ file('/etc/passwd') }}", "${{ default(env.X, imagedefinitions('..')) }}",
                     "${{ stages.z.outputs.file }}${{ file('a/../../b') }}"):
            with self.subTest(text):
                self.give(stages(note("z"), note("a", text)), says=["b.yml:", "leaves"])
        for item in (note("a", "${{ file('link/passwd') }}"), note("a", with_={"file": "../out.txt"}), note("a", with_={"file": "link/out.txt"})):
            if not os.path.islink(self.dir + "/link"):
                os.symlink("/tmp", self.dir + "/link")
            self.run_it(stages(item), code=1)
            self.assertIn("leaves", self.said)
            self.assertNotIn("root:", self.said)


class Plugins(Case):
    """A plugin that misbehaves is one failed stage with a name; the rest of the run is told, and nothing runs on."""

    def ends(self, action, code, says, text="t", **more):
        self.run_it(stages({"id": "x", "uses": "trial/" + action, "with": {"text": text}, **more}, note("after")), code=code)
        error = self.events("stage-ended")[0]["error"]
        self.assertIn(says, error["message"])
        self.assertEqual(self.results(), {"x": "failed", "after": "skipped"})
        self.assertIn("x", self.events("failure")[0]["where"])
        self.assertEqual(self.left(), [])

    def test_crash(self):
        self.ends("crash", 1, "SIGSEGV")

    def test_exit_0_and_garbage(self):
        self.ends("exit", 1, "without a result")
        self.ends("garbage", 1, "no frame")
        self.ends("garbage", 1, "over 8 MiB", text="flood")

    def test_hang_with_children(self):
        self.ends("hang", 7, "", text="stubborn", timeout="200ms")
        self.ends("hang", 7, "", text="polite", timeout="200ms")

    def test_not_a_plugin(self):
        so = self.dir + "/so"
        os.mkdir(so, 0o755)
        for name, content, says in (("text", b"hello", "text.so"), ("empty", b"", "empty.so"), ("folder", None, "folder"),
                                    ("cut", None, "`cut`")):
            if content is not None:
                with open(f"{so}/{name}.so", "wb") as f:
                    f.write(content)
            elif name == "folder":
                os.mkdir(f"{so}/{name}.so", 0o755)
            else:
                with open(SO + "/trial.so", "rb") as f, open(f"{so}/{name}.so", "wb") as g:
                    g.write(f.read()[:5000])
            os.chmod(f"{so}/{name}.so", 0o755 if name == "folder" else 0o644)
            self.run_it(stages({"id": "a", "uses": name + "/do"}), code=4, plugins=so)
            self.assertIn(says, self.said)
        # A library that is no plugin of ours.
        libc = next(p for p in ("/lib/x86_64-linux-gnu/libz.so.1", "/lib/aarch64-linux-gnu/libz.so.1", SO + "/ctor.so") if os.path.exists(p))
        shutil.copy(libc, so + "/other.so")
        os.chmod(so + "/other.so", 0o644)
        self.run_it(stages({"id": "a", "uses": "other/do"}), code=4, plugins=so)
        self.run_it(stages({"id": "a", "uses": "../trial/do"}), code=3, plugins=so)
        self.assertFalse(os.path.exists(self.dir + "/.mrpipe"))

    def test_missing_and_wrong_abi_name_the_cause(self):
        self.run_it(stages({"id": "a", "uses": "tril/note"}), code=4)
        self.assertIn("there is no plugin `tril`", self.said)
        self.assertIn(SO, self.said)
        self.run_it(stages({"id": "a", "uses": "oldabi/x"}), code=4)
        self.assertIn("ABI 2.0", self.said)
        # An unused bad plugin in the same folder is no problem: all runs here have oldabi and ctor beside them.
        self.run_it(stages(note("a")))

    def test_the_other_commands_survive_bad_plugins(self):
        for words in (["plugins"], ["help", "trial/note"], ["schema"], ["doctor"], ["completion", "bash"]):
            run = subprocess.run([BUILD + "/mrpipe", *words, "--plugin-dir", SO], cwd=self.dir, env=self.env, capture_output=True, timeout=60)
            self.assertIn(run.returncode, (0, 1, 4), (words, run.stdout + run.stderr))
            if words == ["plugins"]:
                for word in (b"trial", b"ABI 2.0", b"ctor.so "):
                    self.assertIn(word, run.stdout + run.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=1)
