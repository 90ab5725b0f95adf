# SPDX-License-Identifier: MIT
"""What the tests of the command share: a broker of their own, running the command, and comparing.

A test is a function whose name begins with test_; main() runs them all, or those named on the command line, each with a
fresh broker, and fails if one does. Nothing waits for a time: await_() polls with a deadline that only a hang reaches."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

DEADLINE = 60

OK, FAILED, USAGE, NO_BROKER, NOT_THERE, REFUSED, DEFS, ANSWER, TIMED_OUT = range(9)


class Wrong(Exception):
    pass


def expect(true, *what):
    if not true:
        raise Wrong(" ".join(str(w) for w in what))


def expect_equal(got, wanted, what=""):
    expect(got == wanted, what, "\n  got:    %r\n  wanted: %r" % (got, wanted))


def await_(condition, what):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        expect(time.monotonic() < deadline, "waited in vain for:", what)
        time.sleep(0.01)


class Result:
    def __init__(self, command, status, out, err):
        self.command, self.status, self.out_bytes, self.err = command, status, out, err.decode("utf-8", "replace")

    @property
    def out(self):
        return self.out_bytes.decode("utf-8", "replace")

    def json(self):
        """Every line is one object."""
        return [json.loads(line) for line in self.out.splitlines()]

    def ends(self, status):
        expect(self.status == status, "%s: exit status %s, not %s\nstdout: %s\nstderr: %s" %
               (" ".join(self.command), self.status, status, self.out, self.err))
        return self

    def complains(self, status, *words):
        """Ends with status, after one line on standard error in which the words stand, and nothing else."""
        self.ends(status)
        expect(len(self.err.splitlines()) == 1, "not one line:", repr(self.err))
        expect(self.err.startswith("portunus"), "it does not say who it is:", self.err)
        for word in words:
            expect(word in self.err, "%r is not in: %s" % (word, self.err))
        return self

    def says(self, *words):
        for word in words:
            expect(word in self.out, "%r is not in: %s" % (word, self.out))
        return self


class World:
    """A directory with a broker and everything that a test starts; close() leaves nothing of it."""

    def __init__(self, portunus, portunusd):
        self.portunus = portunus
        self.dir = tempfile.mkdtemp(prefix="portunus-command-")
        self.processes = []
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("PORTUNUS_", "XDG_RUNTIME", "NO_COLOR"))}
        self.env.update(PORTUNUS_BROKER=self.path("broker"), PORTUNUS_AUTOSTART="0", LC_ALL="C.UTF-8",
                        PORTUNUS_BROKER_PROGRAM=portunusd)
        self.portunusd = portunusd

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return self.path(name)

    def start_broker(self, *arguments):
        log = self.path("broker.log")
        with open(log, "wb") as f:
            self.broker = self.start_program(
                [self.portunusd, "--foreground", "--socket", self.env["PORTUNUS_BROKER"], *arguments], stderr=f)
        await_(lambda: "listening" in open(log).read(), "the broker")

    def start_program(self, command, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("env", self.env)
        process = subprocess.Popen(command, cwd=self.dir, **how)
        self.processes.append(process)
        return process

    def start(self, *arguments, **how):
        """The command in the background."""
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        return self.start_program([self.portunus, *arguments], **how)

    def finish(self, process, input=None):
        try:
            out, err = process.communicate(input, timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise Wrong("%s hangs\nstdout: %r\nstderr: %r" % (" ".join(process.args), out, err))
        return Result(process.args, process.returncode, out or b"", err or b"")

    def run(self, *arguments, input=None, **env):
        """The command, until it ends."""
        data = input.encode() if isinstance(input, str) else input
        how = {"stdin": subprocess.PIPE} if data is not None else {}
        if env:
            how["env"] = {**self.env, **env}
        return self.finish(self.start(*arguments, **how), data)

    def is_there(self, name):
        """A service can be looked up."""
        return self.run("run", "--with", name, "--", "true").status == 0

    def close(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        shutil.rmtree(self.dir)


class Terminal:
    """A terminal of tmux, on a server of its own, in which a shell runs one command and then says how it ended."""

    def __init__(self, w, command, width=100, height=30):
        self.w = w
        self.socket = w.path("tmux")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height),
                  "%s; echo status $?; exec cat" % command)
        # What the terminal is sent; the command may have begun by then.
        self.tmux("pipe-pane", "-O", "exec cat >>%s" % w.path("sent"))

    def tmux(self, *arguments):
        r = subprocess.run(["tmux", "-S", self.socket, *arguments], env={**self.w.env, "TERM": "xterm-256color"},
                           capture_output=True, text=True, timeout=DEADLINE)
        expect(r.returncode == 0, "tmux", arguments, r.stderr)
        return r.stdout

    def screen(self):
        return self.tmux("capture-pane", "-p").splitlines()

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def await_text(self, *words):
        await_(lambda: all(word in "\n".join(self.screen()) for word in words), "%s on the screen" % (words,))
        return self.screen()

    def rows(self):
        return [line.split() for line in self.screen()[2:] if line.strip()]

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=DEADLINE)


def in_terminal(test):
    """Ends the terminal's server, whatever happens."""

    def run(w):
        w.terminals = []
        try:
            test(w)
        finally:
            for t in w.terminals:
                t.close()

    run.__name__ = test.__name__
    return run


def main(tests, portunus, portunusd, only=()):
    failed = 0
    for name, test in sorted(tests.items()):
        if not name.startswith("test_") or (only and name not in only):
            continue
        world = World(os.path.realpath(portunus), os.path.realpath(portunusd))
        try:
            test(world)
            print("ok    ", name, flush=True)
        except Exception as error:
            failed += 1
            print("FAILED", name, flush=True)
            if isinstance(error, Wrong):
                print(error, "\n", traceback.format_exc(limit=-3), flush=True)
            else:
                traceback.print_exc(file=sys.stdout)
        finally:
            world.close()
    return 1 if failed else 0
