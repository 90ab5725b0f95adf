#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test-portfs.py PORTUNUS PORTUNUSD PORTFS SOURCE_ROOT: each command beside a portfs server and a hundred clients of it, and the
trace of a session, which has to agree with what the server itself has counted."""

import json
import os
import signal
import subprocess
import sys

from harness import DEADLINE, OK, Terminal, await_, expect, expect_equal, in_terminal, main

portfs, root = (os.path.realpath(p) for p in sys.argv[3:5])
defs = os.path.join(root, "examples/portfs/portfs.defs")
events = os.path.join(root, "examples/portfs/portfs_event.defs")
N_CLIENTS = 100
ROUTINES = {42000: "portfs_lookup", 42001: "portfs_readdir", 42002: "portfs_stat", 42003: "portfs_read", 42004: "portfs_watch",
            42005: "portfs_status"}


def start_server(w):
    w.start_broker()
    os.mkdir(w.path("tree"))
    w.write("tree/file", "x" * 5000)
    os.mkdir(w.path("tree/inner"))
    for i in range(5):
        w.write("tree/inner/%d" % i, "%d" % i * (1 + 3000 * i))
    server = w.start_program([portfs, "serve", "demo", w.path("tree")], stdout=subprocess.PIPE)
    server.stdout.readline()
    return server


def status(w):
    """The server's own counters: files open now, opened, closed, refused, and requests, this one among them."""
    row, = w.run("call", "--json", "demo", defs, "portfs_status").ends(OK).json()
    words = row["results"]["status"]
    return {"open": words[0], **{key: words[i] + (words[i + 1] << 32) for key, i in
                                 (("opened", 1), ("closed", 3), ("refused", 5), ("requests", 7))}}


def start_clients(w):
    clients = [w.start_program([portfs, "watch", "demo", "file"], stdout=subprocess.DEVNULL) for _ in range(N_CLIENTS)]
    await_(lambda: status(w)["open"] == N_CLIENTS and
           sum(n["receiver"] is not None and "pid" in n["receiver"] and n["receiver"]["pid"] != w.broker.pid
               for n in w.run("ls", "--json", str(w.server.pid)).ends(OK).json()
               if n["type"] == ["send"]) >= N_CLIENTS, "the clients")
    return {c.pid for c in clients}


@in_terminal
def test_every_command_beside_a_hundred_clients(w):
    w.server = start_server(w)
    clients = start_clients(w)
    server = str(w.server.pid)

    rows = {r["pid"]: r for r in w.run("ps", "--json").ends(OK).json()}
    expect_equal({pid for pid, r in rows.items() if r["program"] == "portfs"}, clients | {w.server.pid})
    expect_equal([(n["name"], n["pid"]) for n in w.run("names", "--json").ends(OK).json()], [("demo", w.server.pid)])
    listing = w.run("ls", "--json", server).ends(OK).json()
    holders = [{h["pid"] for h in n["holders"]} for n in listing if "holders" in n]
    expect(any(clients <= h for h in holders), "all hold the root")
    expect_equal(sum(len(h & clients) == 1 for h in holders), N_CLIENTS, "and each a file")

    graph = w.run("graph").ends(OK).out
    for pid in clients | {w.server.pid}:
        expect_equal(graph.count(">%d" % pid), 1, "a box for each")
    expect_equal(graph.count("shape=circle"), 2 * N_CLIENTS + 1)
    w.run("graph", "--svg", w.path("g.svg")).ends(OK)
    expect(open(w.path("g.svg"), encoding="utf-8").read().rstrip().endswith("</svg>"))

    t = Terminal(w, "%s top -d 0.1" % w.portunus, width=100, height=N_CLIENTS + 10)
    w.terminals.append(t)
    await_(lambda: {int(r[0]) for r in t.rows() if r[1] == "portfs"} == clients | {w.server.pid}, "all in top")
    t.keys("p")
    t.await_text("MSGS/s", "LIMIT")
    await_(lambda: int(t.screen()[0].split()[2]) > 3 * N_CLIENTS, "their ports")
    t.keys("q")
    t.await_text("status 0")

    recv = w.start("recv", "box", "-n", "1")
    await_(lambda: w.is_there("box"), "the name box")
    w.run("send", "box", "hello").ends(OK)
    expect_equal(w.finish(recv).ends(OK).out, "hello\n")
    r = w.run("call", "demo", defs, "portfs_lookup", "file", "+", "portfs_read@file", "0", "3").ends(OK)
    expect("data: xxx" in r.out, r.out)
    w.run("run", "--with", "demo", "--", "true").ends(OK)
    # A change is told to each client: a hundred messages, and each client prints it.
    out = w.path("trace")
    with open(out, "wb") as f:
        tracer = w.start("trace", "--json", "-i", defs, "-i", events, "-p", server, stdout=f)
    await_(lambda: status(w) and lines(out), "the first event")
    with open(w.path("tree/file"), "ab") as f:
        f.write(b"more")
    await_(lambda: {e["port"].get("pid") for e in lines(out) if e.get("routine") == "portfs_changed"} == clients, "all are told")
    tracer.send_signal(signal.SIGINT)
    w.finish(tracer).ends(OK)


def lines(path):
    """Whole lines of JSON that have been printed so far."""
    text = open(path, encoding="utf-8").read()
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


def trace_session(w, server):
    """What the tracer printed, and the server's counters before and after."""
    out = w.path("trace")
    with open(out, "wb") as f:
        tracer = w.start("trace", "--json", "-i", defs, "-p", str(server.pid), stdout=f)
    await_(lambda: status(w) and lines(out), "the first event")
    before = status(w)
    for command in (["ls", "demo"], ["ls", "demo", "inner"], ["cat", "demo", "file"], ["stat", "demo", "inner/3"]):
        expect_equal(w.finish(w.start_program([portfs, *command], stdout=subprocess.PIPE)).status, 0, command)
    expect_equal(w.finish(w.start_program([portfs, "cat", "demo", "nothing"], stderr=subprocess.PIPE)).status, 1)
    expect_equal(w.finish(w.start_program([portfs, "-n", "4", "check", "demo", w.path("tree")], stdout=subprocess.PIPE)).status, 0)
    after = status(w)
    await_(lambda: sum(is_call(e, "portfs_status") and e["answer"] for e in lines(out)) >= 3, "all that was traced")
    await_(lambda: sum(e["event"] == "receive" and e["id"] in ROUTINES for e in lines(out)) ==
           sum(e["event"] == "send" and e["id"] - 100 in ROUTINES for e in lines(out)), "the answers")
    tracer.send_signal(signal.SIGINT)
    w.finish(tracer).ends(OK)
    return lines(out), before, after


def is_call(e, routine):
    return e.get("routine") == routine


def test_a_session_is_traced_as_the_server_counts_it(w):
    server = start_server(w)
    traced, before, after = trace_session(w, server)
    expect_equal({e["lost"] for e in traced}, {0})
    expect_equal({e["pid"] for e in traced}, {server.pid})
    requests = [e for e in traced if e["event"] == "receive" and e["id"] in ROUTINES]
    answers = [e for e in traced if e["event"] == "send" and e["id"] - 100 in ROUTINES]
    for e in requests + answers:
        expect_equal((e["routine"], e["answer"]), (ROUTINES[e["id"] - 100 * e["answer"]], e["event"] == "send"), e)
    # One thread: each request is answered before the next is received.
    expect_equal([e["routine"] for e in requests], [e["routine"] for e in answers])
    expect(all(e["latency"] > 0 for e in answers), answers)

    # Between the two calls of portfs_status that gave the counters, which are known by what was answered.
    def answered(counters):
        return next(i for i, e in enumerate(answers) if is_call(e, "portfs_status") and
                    e["arguments"]["status"][7] == counters["requests"])

    first, last = answered(before), answered(after)
    expect_equal(last - first, after["requests"] - before["requests"], "requests")
    session = list(zip(requests, answers))[first + 1:last]
    opened = [(q, a) for q, a in session if is_call(q, "portfs_lookup") and not a.get("code")]
    refused = [(q, a) for q, a in session if is_call(q, "portfs_lookup") and a.get("code")]
    expect_equal((len(opened), len(refused)), (after["opened"] - before["opened"], after["refused"] - before["refused"]))
    expect_equal([q["arguments"] for q, _ in refused], [{"path": "nothing"}])
    # What was asked for, by name, with arguments and results.
    paths = [q["arguments"]["path"] for q, _ in opened]
    for i in range(5):
        expect(sum(p.endswith("%d" % i) for p in paths) >= 4, "each of the four clients opens each file", paths)
    expect(all(a["arguments"]["file"]["right"] == "send" and a["arguments"]["kind"] in (1, 2) for _, a in opened), opened)
    reads = [(q["arguments"], a["arguments"]) for q, a in session if is_call(q, "portfs_read")]
    expect(any(q["offset"] == 0 and a["data"] == "0" for q, a in reads), reads)
    expect(all(q["amount"] > 0 for q, _ in reads), reads)


def test_who_is_not_traced_has_nothing_to_do_with_it(w):
    """Nothing is written by it, and nothing is open in it, while another process is traced that it works for."""
    server = start_server(w)

    def pipes(pid):
        names = [os.path.join("/proc/%d/fd" % pid, fd) for fd in os.listdir("/proc/%d/fd" % pid)]
        return sum(os.readlink(name).endswith("/events") for name in names if os.path.lexists(name))

    def written():
        text = open("/proc/%d/io" % server.pid).read()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("wchar:"))

    def cost(*prefix):
        before, counted = written(), status(w)["requests"]
        w.finish(w.start_program([*prefix, portfs, "-n", "1", "check", "demo", w.path("tree")],
                                 stdout=subprocess.PIPE)).ends(OK)
        return written() - before, status(w)["requests"] - counted

    cost()
    bytes_alone, requests_alone = cost()
    bytes_beside, requests_beside = cost(w.portunus, "trace", "-f", "--")
    expect_equal(requests_beside, requests_alone)
    # Doorbells, a byte each, may be rung more or less often; an event has more than 60 bytes.
    expect(bytes_beside < bytes_alone + 30 * requests_alone, bytes_beside, bytes_alone, requests_alone)
    traced = w.start("trace", "-p", str(server.pid), stdout=subprocess.DEVNULL)
    await_(lambda: pipes(server.pid) == 1, "the server is traced")
    expect_equal(pipes(w.broker.pid), 0)
    traced.send_signal(signal.SIGINT)
    w.finish(traced).ends(OK)
    await_(lambda: pipes(server.pid) == 0, "it is traced no more")


if __name__ == "__main__":
    sys.exit(main(globals(), sys.argv[1], sys.argv[2], sys.argv[5:]))
