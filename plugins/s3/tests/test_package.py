"""s3/package: what is packed, under which names, and that others can read it."""

import os
import random
import stat
import subprocess
import tarfile
import time
import zipfile

import pytest


def names(path):
    with zipfile.ZipFile(path) as z:
        assert z.testzip() is None
        return sorted(z.namelist())


def tree(host, *paths):
    for path in paths:
        host.write(path, f"content of {path}\n")


def block(*files, **more):
    return {"files": list(files), **{key.replace("_", "-"): value for key, value in more.items()}}


TREE = (
    "a.txt", "b.json", ".hidden", "dir/x.txt", "dir/y.json", "dir/.env", "dir/sub/z.txt",
    "dir/sub/deep/w.txt", "build-1/out.js", "build-2/other.js", "sp ace/[b].txt", "ünï/ö.txt",
)  # fmt: skip


@pytest.mark.parametrize(
    ("artifacts", "expected"),
    [
        (block("a.txt"), ["a.txt"]),
        (block("./a.txt", ".//dir/./x.txt"), ["a.txt", "dir/x.txt"]),
        (block("dir/*"), ["dir/.env", "dir/x.txt", "dir/y.json"]),
        (block("dir/**/*"), ["dir/.env", "dir/sub/deep/w.txt", "dir/sub/z.txt", "dir/x.txt", "dir/y.json"]),
        (block("dir/**"), ["dir/.env", "dir/sub/deep/w.txt", "dir/sub/z.txt", "dir/x.txt", "dir/y.json"]),
        (block("**/*"), sorted(TREE)),
        (block("*"), [".hidden", "a.txt", "b.json"]),
        (block("*/x.txt"), ["dir/x.txt"]),
        (block("**/*.txt", exclude_paths=["dir/**/*", "ünï/*"]), ["a.txt", "sp ace/[b].txt"]),
        (block("**/*", base_directory="dir"), [".env", "sub/deep/w.txt", "sub/z.txt", "x.txt", "y.json"]),
        (block("**/*", base_directory="dir", exclude_paths=["sub/deep/**"]), [".env", "sub/z.txt", "x.txt", "y.json"]),
        (block("*.js", base_directory="build*"), ["other.js", "out.js"]),
        (block("**/*.txt", base_directory="dir", discard_paths="yes"), ["w.txt", "x.txt", "z.txt"]),
        (block("*.{txt,json}", "dir/{x,sub/z}.txt"), ["a.txt", "b.json", "dir/sub/z.txt", "dir/x.txt"]),
        (block("dir/?.txt", "dir/[xy].json"), ["dir/x.txt", "dir/y.json"]),
        (block("sp ace/\\[b\\].txt"), ["sp ace/[b].txt"]),
        ({"files": "a.txt"}, ["a.txt"]),
        (block("a.txt", "dir/x.txt", added_files=["b.json"]), ["a.txt", "b.json", "dir/x.txt"]),
        (block("x.txt", base_directory="dir", added_files=["b.json", "dir/y.json"]), ["b.json", "x.txt", "y.json"]),
        (block("a.txt", "nothing*"), ["a.txt"]),
        (block("**/deep/**/w.txt", "**/**/x.txt"), ["dir/sub/deep/w.txt", "dir/x.txt"]),
    ],
)  # fmt: skip
def test_globs(host, artifacts, expected):
    tree(host, *TREE)
    done = host("package", artifacts=artifacts).ok("changed")
    assert names(done.outputs["file"]) == expected
    assert done.outputs["files"] == len(expected)
    with zipfile.ZipFile(done.outputs["file"]) as z:
        for info in z.infolist():
            assert not info.flag_bits & 8, "a data descriptor"
            assert z.read(info).decode().startswith("content of ")


@pytest.mark.parametrize(
    ("artifacts", "code", "text"),
    [
        (block("missing.txt"), "artifact", "no matching artifact paths found"),
        (block("dir"), "artifact", "no matching artifact paths found"),
        (block("*", base_directory="nowhere"), "artifact", "no matching base directory path found for nowhere"),
        (block("*", base_directory="no*where"), "artifact", "no matching base directory path found"),
        (block("../secret"), "config", "leaves the base directory"),
        (block("/etc/passwd"), "config", "outside the base directory"),
        (block("*", base_directory="../.."), "config", ""),
        ({}, "artifact", "names no artifact files"),
        ({"files": [1]}, "config", "entry 1 is no text"),
        (block("{" * 40 + "a" + "}" * 40), "config", "brace"),
        (block("a/" * 70 + "b"), "config", "parts"),
        (block("a.txt", added_files=["gone.json"]), "artifact", "gone.json"),
    ],
)
def test_refused(host, artifacts, code, text):
    tree(host, *TREE)
    done = host("package", artifacts=artifacts)
    assert (done.code, text in done.message) == (code, True), done.message


def test_folder_hint(host):
    tree(host, "dir/x.txt")
    assert "**/*" in host("package", artifacts=block("dir")).hint


def test_same_bytes_whatever_the_clock_and_the_threads(host, tmp_path):
    generator = random.Random(1)
    for i in range(300):
        host.write(f"src/{i % 7}/{i}.txt", bytes(generator.randrange(65, 91) for _ in range(i * 37)))
    host.write("src/big.bin", generator.randbytes(1 << 20) + b"abc" * 1_500_000)
    host.write("src/noise.bin", generator.randbytes(3 << 20))
    host.write("src/empty")
    first = host("package", {"threads": 1}, artifacts=block("**/*")).ok("changed")
    assert stat.S_IMODE(os.stat(first.outputs["file"]).st_mode) == 0o644
    for path in host.work.rglob("*"):
        os.utime(path, (10**9, 10**9))
    host.new_run()
    second = host("package", {"threads": 5}, artifacts=block("**/*")).ok("unchanged")
    assert second.outputs["file"] != first.outputs["file"]
    assert open(first.outputs["file"], "rb").read() == open(second.outputs["file"], "rb").read()
    assert first.outputs["sha256"] == second.outputs["sha256"]
    subprocess.run(["unzip", "-tqq", first.outputs["file"]], check=True)
    subprocess.run(["unzip", "-qq", first.outputs["file"], "-d", tmp_path / "out"], check=True)
    subprocess.run(["diff", "-r", host.work, tmp_path / "out"], check=True)
    summed = subprocess.run(["sha256sum", first.outputs["file"]], capture_output=True, text=True, check=True)
    assert summed.stdout.split()[0] == first.outputs["sha256"]
    host.write("src/empty", b"no more")
    host.new_run()
    host("package", artifacts=block("**/*")).ok("changed")


def test_modes_links_and_times(host, tmp_path):
    host.write("run.sh", "#!/bin/sh\n", 0o755)
    host.write("data", "d", 0o600)
    host.write("lib/real.so", "real")
    (host.work / "lib/link.so").symlink_to("real.so")
    outside = tmp_path / "outside"
    outside.write_text("secret")
    outside.chmod(0o644)
    (host.work / "out").symlink_to(outside)
    (host.work / "loop").symlink_to(".")
    (host.work / "broken").symlink_to("gone")
    followed = host("package", artifacts=block("**/*")).ok()
    with zipfile.ZipFile(followed.outputs["file"]) as z:
        modes = {i.filename: i.external_attr >> 16 for i in z.infolist()}
        assert modes == {
            "run.sh": 0o100755, "data": 0o100644, "lib/real.so": 0o100644, "lib/link.so": 0o100644, "out": 0o100644,
        }  # fmt: skip
        assert z.read("lib/link.so") == b"real"
        assert {i.date_time for i in z.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert any("outside the base directory" in text for text in followed.logs)
    assert any("broken" in text for text in followed.logs)
    kept = host("package", artifacts=block("**/*", enable_symlinks="yes")).ok("changed")
    subprocess.run(["unzip", "-qq", kept.outputs["file"], "-d", tmp_path / "o"], check=True)
    assert os.readlink(tmp_path / "o/lib/link.so") == "real.so"
    assert os.readlink(tmp_path / "o/loop") == "."
    assert os.readlink(tmp_path / "o/broken") == "gone"
    assert not (tmp_path / "o/out").is_symlink()
    assert os.access(tmp_path / "o/run.sh", os.X_OK)
    os.utime(host.work / "data", (1_600_000_000, 1_600_000_000))
    own = host("package", {"timestamps": "file"}, artifacts=block("data")).ok()
    with zipfile.ZipFile(own.outputs["file"]) as z:
        assert z.infolist()[0].date_time == time.gmtime(1_600_000_000)[:6]


def test_collisions(host):
    tree(host, "one/n.txt", "two/n.txt")
    last = host("package", artifacts=block("one/*", "two/*", discard_paths=True)).ok()
    with zipfile.ZipFile(last.outputs["file"]) as z:
        assert z.read("n.txt") == b"content of two/n.txt\n"
    assert any("replaces" in text for text in last.logs)
    failed = host("package", {"collisions": "fail"}, artifacts=block("one/*", "two/*", discard_paths=True))
    assert failed.code == "artifact"
    assert "one/n.txt" in failed.message and "two/n.txt" in failed.message


def test_secondary_and_to(host):
    tree(host, "a.txt", "b.txt", "c/d.txt")
    artifacts = block("a.txt", name="core-$CODEBUILD_BUILD_NUMBER")
    artifacts["secondary-artifacts"] = {"one": block("b.txt"), "two": block("**/*", base_directory="c")}
    done = host("package", {"to": "out/pack.zip"}, artifacts=artifacts).ok("changed")
    assert done.outputs["file"] == str(host.work / "out/pack.zip")
    second = done.outputs["secondary"]
    assert names(second["one"]["file"]) == ["b.txt"] and second["one"]["file"].endswith("out/pack-one.zip")
    assert names(second["two"]["file"]) == ["d.txt"]
    before = os.stat(done.outputs["file"]).st_mtime_ns
    host("package", {"to": "out/pack.zip"}, artifacts=artifacts).ok("unchanged")
    assert os.stat(done.outputs["file"]).st_mtime_ns == before
    assert sorted(os.listdir(host.work / "out")) == ["pack-one.zip", "pack-two.zip", "pack.zip"]


def test_files_option_and_plan(host):
    tree(host, "a.txt")
    options = {"files": ["*.txt"], "to": "p.zip"}
    assert host("package", options, "plan").ok("changed").changes == ["pack 1 file(s) as they are now (known after the phases)"]
    assert not (host.work / "p.zip").exists()
    host("package", options).ok("changed")
    host("package", options, "plan").ok("unchanged")
    planned = host("package", {}, "plan", artifacts=block("not-yet")).ok("changed")
    assert "known after" in planned.changes[0]
    assert host("package", {"discard-paths": "yes"}, "check").code == "config"


def test_tar(host):
    tree(host, *TREE)
    (host.work / "link").symlink_to("a.txt")
    artifacts = block("**/*", enable_symlinks=True)
    first = host("package", {"format": "tar.gz"}, artifacts=artifacts).ok("changed")
    with tarfile.open(first.outputs["file"]) as t:
        assert sorted(t.getnames()) == sorted([*TREE, "link"])
        assert t.getmember("link").issym() and t.extractfile("a.txt").read() == b"content of a.txt\n"
    host.new_run()
    assert host("package", {"format": "tar.gz"}, artifacts=artifacts).ok("unchanged").outputs["sha256"] == first.outputs["sha256"]


def test_many_entries_use_zip64(host, tmp_path):
    folder = host.work / "many"
    folder.mkdir()
    for i in range(66_000):
        os.close(os.open(folder / f"{i:05}", os.O_CREAT | os.O_WRONLY, 0o644))
    done = host("package", {"level": 1}, artifacts=block("many/*")).ok()
    assert len(names(done.outputs["file"])) == 66_000
    subprocess.run(["unzip", "-tqq", done.outputs["file"]], check=True)


@pytest.mark.parametrize("runs", [".mrpipe/runs", "state"])
def test_own_folder_is_left_out(host, runs):
    host.write("a.txt", "a")
    host.runs = host.work / runs
    for expected in ("changed", "unchanged"):
        host.new_run()
        latest = host.runs / "latest"
        latest.unlink(missing_ok=True)
        latest.symlink_to(host.run_folder.name)
        host.write(f"{runs}/run-{host.number}/events.jsonl", str(host.number))
        done = host("package", artifacts=block("**/*")).ok(expected)
        assert names(done.outputs["file"]) == ["a.txt"]
    host.new_run()
    for how in ("plan", "verify"):
        looked = host("package", how=how, artifacts=block("**/*")).ok("unchanged")
        assert looked.outputs == done.outputs | {"file": looked.outputs["file"]}
        assert names(looked.outputs["file"]) == ["a.txt"]


def test_stopped(host):
    for i in range(20):
        host.write(f"f{i}", os.urandom(1 << 20))
    process = host.start("package", {"level": 9, "threads": 1}, artifacts=block("*"))
    process.stdout.readline()  # the first progress frame: packing has begun
    process.terminate()
    out, _ = process.communicate(timeout=60)
    assert '"code":"cancelled"' in out
    assert not [name for name in os.listdir(host.run_folder / "artifacts") if "part" in name]
