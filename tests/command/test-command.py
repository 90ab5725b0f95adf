#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test-command.py PORTUNUS PORTUNUSD VERSION: the command as such: its words, its errors, its output, and `run`."""

import os
import re
import subprocess
import sys

from harness import DEADLINE, FAILED, NO_BROKER, NOT_THERE, OK, USAGE, expect, expect_equal, main

version = sys.argv[3]


def commands(w):
    lines = w.run("--help").ends(OK).out.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    return [line.split()[0] for line in lines]


def test_help_and_version(w):
    w.run("--version").ends(OK).says("portunus (Portunus) " + version)
    for command in commands(w):
        w.run(command, "--help").ends(OK).says("Usage: portunus " + command)
        expect_equal(w.run(command, "--no-such-option").status, USAGE, command)


def test_wrong_commands(w):
    w.run().complains(USAGE, "no command", "portunus --help")
    w.run("fly").complains(USAGE, '"fly"', "portunus --help")


def options_of(w, command):
    return set(re.findall(r"^ +(?:-., )?(--[a-z-]+)", w.run(command, "--help").out, re.MULTILINE))


def completed(shell_script, line):
    """What bash offers after the line."""
    words = line.split(" ")
    program = "%s\nCOMP_WORDS=(%s)\nCOMP_CWORD=%d\ncompopt() { :; }\n_portunus\nprintf '%%s\\n' \"${COMPREPLY[@]}\"" % (
        shell_script, " ".join("'%s'" % word for word in words), len(words) - 1)
    r = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=DEADLINE)
    expect(r.returncode == 0 and not r.stderr, r.stderr)
    return [word for word in r.stdout.splitlines() if word]


def test_completion_knows_every_word(w):
    script = w.run("completion", "bash").ends(OK).out
    expect_equal(set(completed(script, "portunus ")), {*commands(w), "--help", "--version"})
    for command in commands(w):
        offered = {word.rstrip("=") for word in completed(script, "portunus %s --" % command)}
        expect_equal(offered, options_of(w, command) - {"--usage", "--version"}, command)
    zsh = w.run("completion", "zsh").ends(OK).out
    for command in commands(w):
        expect("'%s:" % command in zsh and "\t%s)" % command in zsh, command)
    w.run("completion", "fish").complains(USAGE, '"fish"', "bash", "zsh")
    w.run("completion").complains(USAGE, "which shell")


def test_run_gives_the_status_of_the_program(w):
    w.run("run", "--", "sh", "-c", "exit 41").ends(41)
    w.run("run", "sh", "-c", "kill -TERM $$").ends(128 + 15)
    expect_equal(w.run("run", "--", "echo", "--with", "x").ends(0).out, "--with x\n")
    w.run("run", "--", "no-such-program").complains(127, "no-such-program")
    w.run("run", "--", "/etc/passwd").complains(126, "/etc/passwd")
    w.run("run").complains(USAGE, "which program")


def test_run_without_the_right(w):
    w.run("run", "--with", "nobody", "--", "true").complains(125, "no broker", w.env["PORTUNUS_BROKER"], "portunusd")
    w.start_broker("--service", "kept")
    w.run("run", "--with", "nobody", "--", "true").complains(125, '"nobody"', "portunus names")
    w.run("run", "--with", "netname:kept", "--", "true").complains(125, '"netname:kept"')
    w.run("run", "--with", "n" * 200, "--", "true").complains(125, "too long")
    w.run("run", "--with", "kept", "--with", "bootstrap:kept", "--", "true").ends(OK)


def test_closed_output_is_a_quiet_end(w):
    reader, writer = os.pipe()
    os.close(reader)
    process = w.start("completion", "bash", stdout=writer)
    os.close(writer)
    r = w.finish(process).ends(OK)
    expect_equal(r.err, "")
    with open("/dev/full", "wb") as full:
        r = w.finish(w.start("completion", "bash", stdout=full)).complains(FAILED, "standard output", "No space")


if __name__ == "__main__":
    sys.exit(main(globals(), sys.argv[1], sys.argv[2], sys.argv[4:]))
