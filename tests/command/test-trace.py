#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test-trace.py PORTUNUS PORTUNUSD SORTS SORTS.defs SOURCE_ROOT: every message of a process, seen from outside."""

import json
import os
import signal
import subprocess
import sys

from harness import FAILED, NOT_THERE, OK, USAGE, DEFS, await_, expect, expect_equal, main

sorts, defs, root = (os.path.realpath(path) for path in sys.argv[3:6])
include = os.path.join(root, "include")

interfaces = ["-i", defs, "-i", os.path.join(include, "servers/netname.defs"), "-i",
              os.path.join(include, "servers/bootstrap.defs"), "-i", os.path.join(include, "portunus/pipe.defs")]


ASKED = range(16)  # what sorts asks


def start_server(w):
    w.start_broker()
    with open(w.path("requests"), "wb") as log:
        server = w.start_program([sorts, "serve", "sorts"], stdout=log)
    await_(lambda: "serving\n" in open(w.path("requests")).read(), "the server")
    return server


def requests(w):
    return len(open(w.path("requests")).read().splitlines()) - 1


def lines(path):
    """Whole lines of JSON that have been printed so far."""
    text = open(path).read()
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


class Tracer:
    """trace -p in the background, from when the process is traced."""

    def __init__(self, w, pid, *arguments):
        self.w, self.path = w, w.path("trace")
        with open(self.path, "wb") as out:
            self.process = w.start("trace", "--json", *interfaces, *arguments, "-p", str(pid), stdout=out)
        # It is on when a call of the process shows up.
        await_(lambda: self.process.poll() is not None or (w.run("call", "sorts", defs, "sorts_told").ends(OK) and
                                                           lines(self.path)), "the first event")

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.w.finish(self.process).ends(OK)
        return lines(self.path)


def trace_client(w, *arguments):
    return w.run("trace", *interfaces, *arguments, "--", sorts, "ask", "sorts").ends(OK)


def test_a_program_from_its_first_message(w):
    start_server(w)
    events = trace_client(w, "--json").json()
    sent = [e for e in events if e["event"] == "send"]
    received = [e for e in events if e["event"] == "receive"]
    expect_equal(len(sent), requests(w) + 1)  # and the look-up of the name
    expect_equal(len(received), len(sent) - 1)  # nobody answers sorts_tell
    expect_equal(sent[0]["routine"], "netname_look_up")
    expect_equal(sent[0]["arguments"], {"host_name": "", "port_name": "sorts"})
    expect_equal([e["lost"] for e in events], [0] * len(events))
    expect_equal(len({(e["pid"], e["tid"]) for e in events}), 1)
    expect(all(e["latency"] > 0 and e["answer"] for e in received), received)
    expect(all(not e["answer"] and "latency" not in e for e in sent), sent)


def test_arguments_and_results_by_name(w):
    start_server(w)
    events = trace_client(w, "--json").json()

    def find(routine, event):
        return [e for e in events if e.get("routine") == routine and e["event"] == event][0]

    expect_equal(find("sorts_numbers", "send")["arguments"],
                 {"a": -5, "b": 1 << 40, "c": 300, "d": 120, "e": 1, "f": 255})
    expect_equal(find("sorts_numbers", "receive")["arguments"], {"g": (1 << 40) - 5, "h": -300, "i": 121})
    expect_equal(find("sorts_strings", "send")["arguments"], {"a": "one", "b": "two", "c": "three", "d": "four"})
    expect_equal(find("sorts_rows", "send")["arguments"]["c"], [[1, 2, 3, 4], [5, 6, 7, 8]])
    expect_equal(find("sorts_record", "receive")["arguments"]["b"], {"a": -1, "b": 3, "c": -3, "d": -4})
    expect_equal(find("sorts_run", "send")["arguments"]["a"], {"number": 3, "out-of-line": 12})
    expect(find("sorts_large", "send")["truncated"], "20000 bytes come along")
    made = find("sorts_made", "send")["arguments"]
    expect_equal([made[name]["right"] for name in "abc"], ["send", "send-once", "receive"])
    rights = find("sorts_rights", "send")["arguments"]["a"]
    expect_equal([right["name"] for right in rights][2], None)


def test_text(w):
    start_server(w)
    r = trace_client(w)
    r.says('-> netname_look_up(host_name: "", port_name: "sorts") to send 0x', "<- sorts_numbers = (g: 1099511627771, h: -300",
           "-> sorts_run(a: 12 bytes out of line, b: 5 bytes out of line)", " us\n", "-> sorts_made(a: send 0x")
    expect("\033" not in r.out)
    expect_equal(r.err, "")


def test_without_interfaces(w):
    start_server(w)
    r = w.run("trace", "--", sorts, "ask", "sorts").ends(OK)
    r.says('-> message 48000(-5, 1099511627776, 300, "x", 1, "ff") to send 0x', "<- message 48100(0, 1099511627771")


def test_names_from_a_list(w):
    start_server(w)
    path = w.write("list.msgids", "sorts 48000 the_numbers 0 48000 48100\n\n")
    w.run("trace", "-i", path, "--", sorts, "ask", "sorts").ends(OK).says("-> the_numbers(", "<- the_numbers = (")
    path = w.write("wrong.msgids", "sorts 48000 the_numbers 0 48000 48100\nnot so\n")
    w.run("trace", "-i", path, "--", "true").complains(DEFS, "wrong.msgids:2:")
    path = w.write("wrong.defs", "subsystem x;\n")
    w.run("trace", "-i", path, "--", "true").complains(DEFS, "wrong.defs:1:")


def test_a_process_that_is_there(w):
    server = start_server(w)
    tracer = Tracer(w, server.pid)
    before = requests(w)
    for i in range(20):
        w.run("call", "sorts", defs, "sorts_tell", str(i)).ends(OK)
    w.run("call", "sorts", defs, "sorts_refuse", "5").ends(7)
    expect_equal(requests(w), before + 21)
    await_(lambda: any(e.get("routine") == "sorts_refuse" and e["answer"] for e in lines(tracer.path)), "all events")
    events = tracer.end()
    told = [e for e in events if e.get("routine") == "sorts_tell"]
    expect_equal([e["arguments"]["value"] for e in told], list(range(20)))
    expect({e["event"] for e in told} == {"receive"} and {e["pid"] for e in told} == {server.pid})
    request, answer = [e for e in events if e.get("routine") == "sorts_refuse"]
    expect_equal((request["event"], request["answer"], answer["event"], answer["answer"]),
                 ("receive", False, "send", True))
    expect_equal((answer["code"], request["reply"]["right"]), (5, "send-once"))
    expect(answer["latency"] > 0)
    received = [e for e in events if e["event"] == "receive" and 48000 <= e["id"] < 48100]
    first = requests(w) - len(received)
    expect(0 <= first <= before, "every request once", first, before)


def test_what_is_traced_no_more(w):
    server = start_server(w)
    Tracer(w, server.pid).end()
    w.run("call", "sorts", defs, "sorts_told").ends(OK)
    tracer = Tracer(w, server.pid)
    tracer.process.kill()
    tracer.process.wait()
    for i in range(300):
        w.run("call", "sorts", defs, "sorts_told").ends(OK) if i % 100 == 0 else None
    expect(Tracer(w, server.pid).end(), "the next tracer takes the place of one that was killed")


def test_names_of_rights_on_both_sides(w):
    start_server(w)
    w.start("recv", "box", stdout=subprocess.DEVNULL)
    await_(lambda: w.is_there("box"), "the name box")
    sender = w.start("send", "box", stdin=subprocess.PIPE)
    sender.stdin.write(b"first\n")
    sender.stdin.flush()
    path = w.path("trace")
    with open(path, "wb") as out:
        tracer = w.start("trace", "--json", *interfaces, "-p", str(sender.pid), stdout=out)

    def named():
        sender.stdin.write(b"next\n")
        sender.stdin.flush()
        return [e for e in lines(path) if e.get("routine") == "portunus_pipe_line" and e["port"].get("home")]

    await_(named, "a message with the name that its receiver has for the port")
    port = named()[0]["port"]
    names = w.run("ls", "--json", str(port["pid"])).ends(OK).json()
    expect(any(n.get("name") in (port["home"], int(port["home"], 16)) for n in names), port, names)
    tracer.send_signal(signal.SIGTERM)
    w.finish(tracer).ends(OK)


def test_programs_that_it_starts(w):
    """Of one that uses Portunus itself, with --follow only; a shell passes it on."""
    start_server(w)
    starter = [w.portunus, "run", "--with", "sorts", "--", sorts, "ask", "sorts"]
    script = w.write("script", "%s ask sorts\n%s ask sorts\n" % (sorts, sorts))

    def pids(*arguments):
        events = w.run("trace", "--json", *interfaces, *arguments).ends(OK).json()
        return {pid: len([e for e in events if e["pid"] == pid and e["event"] == "send" and e["id"] >= 48000])
                for pid in {e["pid"] for e in events}}

    expect_equal(sorted(pids("--", *starter).values()), [0])
    expect_equal(sorted(pids("-f", "--", *starter).values()), [0, len(ASKED)])
    expect_equal(sorted(pids("--", "sh", script).values()), [len(ASKED)] * 2)


def test_losses_are_counted_and_nobody_waits(w):
    """A tracer that is stopped: the process goes on, and what it did meanwhile is lost and told."""
    server = start_server(w)
    tracer = Tracer(w, server.pid)
    tracer.process.send_signal(signal.SIGSTOP)
    large = "@" + w.write("large", b"x" * 2000)
    calls = []
    for _ in range(100):
        calls += ["sorts_blobs", large, "", "+"]
    for _ in range(6):
        w.run("call", "sorts", defs, *calls[:-1]).ends(OK)
    tracer.process.send_signal(signal.SIGCONT)
    await_(lambda: w.run("call", "sorts", defs, "sorts_told").ends(OK) and lines(tracer.path)[-1]["lost"] > 0, "losses")
    tracer.process.send_signal(signal.SIGINT)
    r = w.finish(tracer.process).ends(OK)
    expect("are lost" in r.err, r.err)
    events = lines(tracer.path)
    seen = len([e for e in events if e["event"] == "receive" and e["id"] == 48006])
    expect(seen < 600, seen)


def test_the_status_is_the_programs(w):
    w.start_broker()
    w.run("trace", "--", "sh", "-c", "exit 5").ends(5)
    w.run("trace", "--", "no-such-program").complains(127, "no-such-program")
    w.run("trace").complains(USAGE, "trace what")
    w.run("trace", "-p", "1", "--", "true").complains(USAGE, "trace what")
    w.run("trace", "-p", "x").complains(USAGE, "--pid")
    w.run("trace", "-p", str(os.getpid())).complains(NOT_THERE, "portunus ps")
    w.run("trace", "-p", str(2 ** 22 + 1)).complains(NOT_THERE, "portunus ps")
    w.run("trace", "--", "true", TMPDIR=w.path("nowhere")).complains(FAILED, "TMPDIR")


def test_it_leaves_nothing(w):
    start_server(w)
    os.mkdir(w.path("tmp"))
    w.run("trace", *interfaces, "--", sorts, "ask", "sorts", TMPDIR=w.path("tmp")).ends(OK)
    expect_equal(os.listdir(w.path("tmp")), [])


def test_a_reader_who_leaves(w):
    server = start_server(w)
    process = w.start("trace", *interfaces, "-p", str(server.pid))
    process.stdout.close()
    process.stdout = None
    expect_equal(w.finish(process).ends(OK).err, "")


if __name__ == "__main__":
    sys.exit(main(globals(), sys.argv[1], sys.argv[2], sys.argv[6:]))
