#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test-pipe.py PORTUNUS PORTUNUSD: ports as Unix pipes: send and recv."""

import os
import signal
import subprocess
import sys

from harness import FAILED, NO_BROKER, NOT_THERE, OK, TIMED_OUT, USAGE, await_, expect, expect_equal, main


def receiver(w, *arguments, name="box", **how):
    """A recv that has the name."""
    w.start_broker()
    process = w.start("recv", name, *arguments, **how)
    await_(lambda: w.is_there(name), "the name " + name)
    return process


def waits(process):
    """Nothing runs in it."""
    states = [open("/proc/%d/task/%s/stat" % (process.pid, task)).read().rsplit(")")[-1].split()[0]
              for task in os.listdir("/proc/%d/task" % process.pid)]
    return "R" not in states


def received(w, process):
    return w.finish(process).ends(OK)


def test_lines_arrive_in_order(w):
    process = receiver(w, "-n", "5000")
    text = "".join("line %d\n" % i for i in range(5000))
    w.run("send", "box", input=text).ends(OK)
    expect_equal(received(w, process).out, text)


def test_words_are_one_line(w):
    process = receiver(w)
    w.run("send", "box", "hello", "port", "--end").ends(OK)
    expect_equal(received(w, process).out, "hello port\n")


def test_a_line_may_be_long_or_empty_or_not_ended(w):
    process = receiver(w)
    text = "\n" + "x" * 100000 + "\n\n" + "\x00\xff" + "\nlast"
    w.run("send", "box", "--end", input=text).ends(OK)
    expect_equal(received(w, process).out_bytes, text.encode() + b"\n")


def test_whole_input_is_one_message(w):
    for size in 0, 1, 2048, 2049, 3000000:
        process = receiver(w, "--json", name="box%d" % size) if size == 0 else w.start("recv", "box%d" % size, "--json")
        await_(lambda: w.is_there("box%d" % size), "the name")
        data = os.urandom(size // 2).hex().encode() + b"\n" * (size % 2)
        w.run("send", "box%d" % size, "--whole", "--end", input=data).ends(OK)
        message, end = received(w, process).json()
        expect_equal([message["kind"], end["kind"]], ["data", "end"])
        item = message["items"][0]
        expect_equal((item["type"], item["number"], item["inline"]), ("char", size, size <= 2048))
        expect_equal(item["value"].encode(), data)


def test_a_sender_that_ends_has_sent_all(w):
    """The receiver stands still until the sender has read all of its input and has nothing left to do but to end."""
    process = receiver(w)
    sender = w.start("send", "box", "--end", stdin=subprocess.PIPE)
    sender.stdin.write(b"first\n")
    sender.stdin.flush()
    expect_equal(process.stdout.readline(), b"first\n")
    process.send_signal(signal.SIGSTOP)
    sender.stdin.write(b"x" * 5000000)
    sender.stdin.close()
    sender.stdin = None
    await_(lambda: sender.poll() is not None or waits(sender), "the sender to end, or to wait")
    process.send_signal(signal.SIGCONT)
    expect_equal(len(received(w, process).out), 5000001)
    w.finish(sender).ends(OK)


def test_bytes_come_as_they_were(w):
    process = receiver(w)
    data = bytes(range(256)) * 10000
    w.run("send", "box", "--whole", "--end", input=data).ends(OK)
    expect(received(w, process).out_bytes == data)


def test_files_are_saved(w):
    data = os.urandom(300000)
    os.mkdir(w.path("in"))
    process = receiver(w, "--save", w.path("in"))
    w.run("send", "box", "--file", w.write("some file", data), "--file", w.write("empty", b""), "--end").ends(OK)
    expect_equal(received(w, process).out, "")
    expect(open(w.path("in/some file"), "rb").read() == data)
    expect_equal(open(w.path("in/empty"), "rb").read(), b"")
    process = w.start("recv", "box", "--save", w.path("in"))
    await_(lambda: w.is_there("box"), "the name box")
    w.run("send", "box", "--file", w.path("empty")).ends(OK)
    w.finish(process).complains(FAILED, "in/empty", "File exists")
    w.run("recv", "box", "--save", w.path("nowhere")).complains(FAILED, "nowhere", "make that directory")


def test_files_are_printed(w):
    process = receiver(w)
    w.run("send", "box", "--file", w.write("a", "first\n"), "--file", w.write("b", "second\n"), "--end").ends(OK)
    expect_equal(received(w, process).out, "first\nsecond\n")


def test_a_descriptor_is_passed(w):
    process = receiver(w, "--cat")
    read, write = os.pipe()
    os.write(write, b"through the pipe\n")
    os.close(write)
    sender = w.start("send", "box", "--fd", "0", "--end", stdin=read)
    os.close(read)
    w.finish(sender).ends(OK)
    expect_equal(received(w, process).out, "through the pipe\n")


def test_a_descriptor_is_shown(w):
    process = receiver(w, "--json", "-n", "1")
    path = w.write("data", "12345")
    with open(path) as file:
        w.finish(w.start("send", "box", "--fd", "0", stdin=file)).ends(OK)
    message, = received(w, process).json()
    name, right = message["items"]
    expect_equal((message["kind"], name["value"]), ("descriptor", path))
    expect_equal((right["value"]["right"], right["value"]["file"], right["value"]["size"]), ("send", path, 5))
    w.run("send", "box", "--fd", "77").complains(NOT_THERE, "box")


def test_descriptors_that_are_none(w):
    process = receiver(w)
    w.run("send", "box", "--fd", "77").complains(FAILED, "descriptor 77", "77<FILE")
    w.run("send", "box", "--fd", "x").complains(USAGE, "--fd", '"x"')
    w.run("send", "box", "--file", w.path("nothing")).complains(FAILED, "nothing", "No such file")
    w.run("send", "box", "--whole", "word").complains(USAGE, "--whole")


def test_the_sender_is_told(w):
    process = receiver(w, "--json", "-n", "1")
    sender = w.start("send", "box", "x")
    w.finish(sender).ends(OK)
    message, = received(w, process).json()
    expect_equal((message["from"]["pid"], message["from"]["uid"]), (sender.pid, os.getuid()))


def test_verbose_shows_the_parts(w):
    process = receiver(w, "-v", "-n", "2")
    w.run("send", "box", "a\tline").ends(OK)
    w.run("send", "box", "--file", w.write("data", "abc" * 1000)).ends(OK)
    received(w, process).says("message 47000 (line)", '1: char[6] "a\\tline"', "message 47002 (file)", '1: string[5] "data"',
                              "2: char[3000], out of line", "and 2744 bytes more")


def test_plain_when_piped_and_when_told(w):
    process = receiver(w, "-v", "-n", "1")
    w.run("send", "box", "x").ends(OK)
    expect("\033" not in received(w, process).out)
    for arguments, coloured in (["--color"], True), (["--color=always"], True), (["--color=never"], False):
        process = w.start("recv", "box", "-v", "-n", "1", *arguments)
        await_(lambda: w.is_there("box"), "the name")
        w.run("send", "box", "x").ends(OK)
        expect_equal("\033" in received(w, process).out, coloured, arguments)
    w.run("recv", "box", "--color=red").complains(USAGE, "--color", '"red"')


def test_messages_wait_for_a_declared_service(w):
    w.start_broker("--service", "kept")
    w.run("send", "kept", "early").ends(OK)
    expect_equal(w.run("recv", "kept", "-n", "1").ends(OK).out, "early\n")
    w.run("send", "kept", "one").ends(OK)
    w.run("send", "kept", "two").ends(OK)
    expect_equal(w.run("recv", "kept", "-n", "1").ends(OK).out, "one\n")
    expect_equal(w.run("recv", "kept", "-n", "1").ends(OK).out, "two\n")


def test_a_full_queue_holds_the_sender(w):
    w.start_broker("--service", "kept")
    r = w.run("send", "kept", "--timeout", "0.01", input="x\n" * 100)
    r.complains(TIMED_OUT, "kept", "stayed full", "--timeout")
    sender = w.start("send", "kept", "--end", stdin=subprocess.PIPE)
    sender.stdin.write(b"y\n" * 100)
    sender.stdin.close()
    sender.stdin = None
    lines = w.run("recv", "kept").ends(OK).out.split()
    w.finish(sender).ends(OK)
    expect_equal(lines.count("y"), 100)


def test_an_interrupted_receiver_gives_the_rest_back(w):
    w.start_broker("--service", "kept")
    process = w.start("recv", "kept")
    w.run("send", "kept", "first").ends(OK)
    expect_equal(process.stdout.readline(), b"first\n")
    process.send_signal(signal.SIGINT)
    received(w, process)
    await_(lambda: w.run("recv", "kept", "--timeout", "0.01").status == TIMED_OUT, "the name to be free")
    w.run("send", "kept", "second").ends(OK)
    expect_equal(w.run("recv", "kept", "-n", "1").ends(OK).out, "second\n")


def test_a_reader_who_leaves_ends_it(w):
    process = receiver(w)
    w.run("send", "box", "first").ends(OK)
    expect_equal(process.stdout.readline(), b"first\n")
    process.stdout.close()
    process.stdout = None
    expect_equal(w.finish(process).ends(OK).err, "")


def test_nobody_there(w):
    w.run("send", "box", "x").complains(NO_BROKER, "no broker", w.env["PORTUNUS_BROKER"], "portunusd")
    w.run("recv", "box").complains(NO_BROKER, "no broker", "portunusd")
    process = receiver(w)
    w.run("send", "bax", "x").complains(NOT_THERE, '"bax"', "portunus names")
    w.run("recv", "box").complains(FAILED, "somebody else", '"box"')
    w.run("recv", "netname:box").complains(USAGE, "netname:box")
    w.run("recv").complains(USAGE, "under which name")
    w.run("send").complains(USAGE, "to whom")
    w.run("recv", "a", "b").complains(USAGE, '"b"')
    w.run("recv", "empty", "--timeout", "0.05").complains(TIMED_OUT, "nothing came")
    for wrong in "x", "-1", "", "nan":
        w.run("recv", "empty", "--timeout", wrong).complains(USAGE, "--timeout must be seconds")
    for wrong in "x", "0", "-1", "1x":
        w.run("recv", "empty", "-n", wrong).complains(USAGE, "--count must be a number")


def test_the_receiver_dies_under_the_sender(w):
    process = receiver(w)
    sender = w.start("send", "box", stdin=subprocess.PIPE)
    sender.stdin.write(b"first\n")
    sender.stdin.flush()
    expect_equal(process.stdout.readline(), b"first\n")
    process.kill()
    process.wait()
    while sender.poll() is None:
        try:
            sender.stdin.write(b"next\n")
            sender.stdin.flush()
        except BrokenPipeError:
            break
    sender.stdin = None
    w.finish(sender).complains(NOT_THERE, '"box" has died')


if __name__ == "__main__":
    sys.exit(main(globals(), sys.argv[1], sys.argv[2], sys.argv[3:]))
