"""The program on a pseudo-terminal: live lines come, follow the window's size, and are gone at the end."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios

LIMIT = 30  # seconds for any wait; only a broken program takes that long


class Terminal:
    """A child on a pseudo-terminal; `text` is all that it wrote."""

    def __init__(self, argv, cwd, columns, rows=24):
        self.master, slave = pty.openpty()
        self.resize(columns, rows)
        env = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR") and not k.startswith("AWS_")}
        env.update(TERM="xterm", LC_ALL="C.UTF-8")
        self.before = termios.tcgetattr(slave)
        self.child = subprocess.Popen(argv, cwd=cwd, env=env, stdin=slave, stdout=slave, stderr=slave,
                                      start_new_session=True)
        self.slave = slave
        self.text = ""

    def resize(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, done):
        while not done(self.text):
            ready, _, _ = select.select([self.master], [], [], LIMIT)
            if not ready:
                sys.exit(f"nothing more came; so far:\n{self.text!r}")
            self.text += os.read(self.master, 65536).decode("utf-8", "replace")

    def end(self):
        status = self.child.wait(LIMIT)
        while select.select([self.master], [], [], 0)[0]:
            self.text += os.read(self.master, 65536).decode("utf-8", "replace")
        after = termios.tcgetattr(self.slave)
        os.close(self.slave)
        os.close(self.master)
        check(after == self.before, "the terminal's modes are as before")
        check("\x1b[?25l" not in self.text or self.text.rindex("\x1b[?25h") > self.text.rindex("\x1b[?25l"),
              "the cursor is visible")
        return status


def check(good, what):
    if not good:
        sys.exit(f"not so: {what}")


def screen(text, columns):
    """What a terminal shows after `text`, as lines; rows never scroll away."""
    rows, row, column = [[]], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.|\n", text, re.S):
        if token == "\r":
            column = 0
        elif token == "\n":
            row += 1
        elif token.startswith("\x1b"):
            number = re.sub(r"\D", "", token)
            if token.endswith("A"):
                row -= int(number)
                check(row >= 0, "the cursor stays on the screen")
            elif token.endswith("K"):
                del rows[row][column:]
            elif token.endswith("J"):
                del rows[row][column:]
                del rows[row + 1:]
        else:
            if column == columns:
                row, column = row + 1, 0
                while len(rows) <= row:
                    rows.append([])
            line = rows[row]
            line.extend(" " * (column + 1 - len(line)))
            line[column] = token
            column += 1
        while len(rows) <= row:
            rows.append([])
    return ["".join(line).rstrip() for line in rows]


def spec_in(folder, *commands):
    os.mkfifo(os.path.join(folder, "gate"))
    with open(os.path.join(folder, "buildspec.yml"), "w", encoding="utf-8") as f:
        f.write("version: 0.2\nphases:\n  build:\n    commands:\n")
        f.writelines(f"      - {c}\n" for c in commands)


def open_gate(folder):
    with open(os.path.join(folder, "gate"), "w", encoding="utf-8") as f:
        f.write("go\n")


def live_line_comes_and_goes(mrpipe):
    with tempfile.TemporaryDirectory() as folder:
        spec_in(folder, "echo one", "cat gate && printf 'red \\033[31mtext\\033[0m\\n'", "echo three")
        t = Terminal([mrpipe, "run"], folder, 80)
        t.read_until(lambda text: any(line.startswith(" build") and "cat gate" in line for line in screen(text, 80)))
        open_gate(folder)
        t.read_until(lambda text: "succeeded" in text.split("Stage")[-1] and " in " in text.split("Stage")[-1])
        check(t.end() == 0, "it ends well")
        lines = screen(t.text, 80)
        check(not any(line.startswith(" build") for line in lines), "no live line is left")
        for want in ("[build] one", "[build] go", "[build] red text", "[build] three"):
            check(lines.count(want) == 1, f"{want!r} is there once: {lines}")
        check("\x1b[31mtext" not in t.text, "colours of a command do not reach the terminal")


def narrow_window(mrpipe):
    with tempfile.TemporaryDirectory() as folder:
        spec_in(folder, "echo one", "cat gate # " + "a comment that makes the line long " * 3)
        t = Terminal([mrpipe, "run", "--color", "never"], folder, 100)
        t.read_until(lambda text: any(line.startswith(" build") for line in screen(text, 100)))
        t.resize(30, 10)
        mark = len(t.text)
        t.read_until(lambda text: text.count("\x1b[J", mark) >= 2)
        # The draws after the new size: no live line may be as wide as the window.
        last = t.text[mark:].split("\x1b[J")[-2]
        for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", last)):
            check(len(line) < 30, f"the line fits: {line!r}")
        open_gate(folder)
        check(t.end() == 0, "it ends well")


def interrupted(mrpipe):
    with tempfile.TemporaryDirectory() as folder:
        spec_in(folder, "cat gate")
        t = Terminal([mrpipe, "run"], folder, 80)
        t.read_until(lambda text: any(line.startswith(" build") for line in screen(text, 80)))
        os.kill(t.child.pid, signal.SIGINT)
        t.read_until(lambda text: "cancelled" in text or "failed" in text)
        check(t.end() == 130, "exit code 130")
        check(not any(line.startswith(" build  ") and "cat gate" in line for line in screen(t.text, 80)),
              "no live line is left")


def linear_with_ci(mrpipe):
    with tempfile.TemporaryDirectory() as folder:
        spec_in(folder, "echo one")
        t = Terminal(["env", "CI=true", mrpipe, "run"], folder, 80)
        t.read_until(lambda text: "succeeded" in text.split("Stage")[-1] and "Stage" in text)
        check(t.end() == 0, "it ends well")
        check("\x1b[K" not in t.text and "\x1b[J" not in t.text, "no line is drawn twice")


def main():
    mrpipe = os.path.abspath(sys.argv[1])
    for test in (live_line_comes_and_goes, narrow_window, interrupted, linear_with_ci):
        test(mrpipe)
        print("ok", test.__name__)


main()
