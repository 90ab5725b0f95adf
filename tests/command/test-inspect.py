#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test-inspect.py PORTUNUS PORTUNUSD PORTFS MOVER: ps, ls and names, and what lies beneath them, shown the truth."""

import json
import os
import signal
import subprocess
import sys

from harness import (DEADLINE, FAILED, NO_BROKER, NOT_THERE, OK, REFUSED, TIMED_OUT, USAGE, Terminal, await_, expect, expect_equal,
                     in_terminal, main)

portfs, mover = (os.path.realpath(p) for p in sys.argv[3:5])
N_CLIENTS = 100
N_PORTS, N_RIGHTS, N_UNDER_WAY = 200, 7, 4  # of mover


def start_portfs(w, n_clients):
    """A server, and clients that wait for changes. Returns their pids, the server's first."""
    os.mkdir(w.path("tree"))
    w.write("tree/file", "x")
    server = w.start_program([portfs, "serve", "demo", w.path("tree")], stdout=subprocess.PIPE)
    server.stdout.readline()
    clients = [w.start_program([portfs, "watch", "demo", "file"], stdout=subprocess.DEVNULL) for _ in range(n_clients)]
    # Each has a port for events, to which the server holds a right, and one of the server's for the file.
    await_(lambda: sum(r["once_rights"] + r["send_rights"] for r in ports_of(w, server.pid)) >= 2 * n_clients and
           watching(w, server.pid) == n_clients, "the clients")
    return [server.pid] + [c.pid for c in clients]


def ls(w, pid):
    return w.run("ls", "--json", str(pid)).ends(OK).json()


def ports_of(w, pid):
    return [r for r in ls(w, pid) if "receive" in r["type"]]


def receivers(w, pid):
    return [r["receiver"]["pid"] for r in ls(w, pid) if r["type"] == ["send"] and (r["receiver"] or {}).get("pid")]


def watching(w, server):
    return len({pid for pid in receivers(w, server) if pid != w.broker.pid})


def test_portfs_with_many_clients(w):
    w.start_broker()
    server, *clients = start_portfs(w, N_CLIENTS)
    rows = w.run("ps", "--json").ends(OK).json()
    by_pid = {r["pid"]: r for r in rows}
    expect_equal(len(rows), N_CLIENTS + 3, "the broker, the server, the clients, and ps itself")
    expect(by_pid[w.broker.pid]["is_broker"] and by_pid[w.broker.pid]["program"] == "portunusd")
    for pid in [server] + clients:
        expect_equal((by_pid[pid]["program"], by_pid[pid]["uid"], by_pid[pid]["task"]), ("portfs", os.getuid(), 1))
        expect(by_pid[pid]["memory"] > 100000 and by_pid[pid]["sent"] > 0 and by_pid[pid]["received"] > 0, by_pid[pid])
    # The server: a link to each client and the broker; ps has one, too, as long as it lives.
    expect(N_CLIENTS + 1 <= by_pid[server]["links"] <= N_CLIENTS + 2, by_pid[server]["links"])

    names = w.run("names", "--json").ends(OK).json()
    expect_equal([(n["name"], n["service"], n["state"], n["pid"], n["program"]) for n in names],
                 [("demo", "netname", "active", server, "portfs")])

    listing = ls(w, server)
    row = w.run("ps", "--json").json()
    row = next(r for r in row if r["pid"] == server)
    for key, kind in (("ports", "receive"), ("send_rights", "send"), ("sets", "set"), ("once_rights", "once")):
        expect_equal(row[key], sum(kind in r["type"] for r in listing), key)
    # Everybody holds the root, and each a file of its own; the server holds a right to each client's event port.
    holders = [sorted(h["pid"] for h in r["holders"] if h.get("pid") in clients) for r in listing if "holders" in r]
    expect(sorted(clients) in holders, "the root's holders")
    expect_equal(sorted(h for h in holders if len(h) == 1), [[c] for c in sorted(clients)], "one file each")
    expect_equal(sorted(p for p in receivers(w, server) if p in clients), sorted(clients))
    for pid in clients[:3]:
        expect(server in receivers(w, pid), "the client's right to the server")
        events = [r for r in ports_of(w, pid) if any(h.get("pid") == server for h in r["holders"])]
        expect_equal([(r["send_rights"], r["queued"]) for r in events], [(1, 0)])


def test_tables_for_people(w):
    w.start_broker("--service", "org.example.kept")
    server, client = start_portfs(w, 1)
    table = w.run("ps").ends(OK).says("PID", "QUEUED", "portfs", "portunusd", "the broker").out.splitlines()
    expect(any(line.split()[0] == str(server) for line in table), table)
    w.run("ls", str(server)).ends(OK).says("receive", "send", "set", "%d portfs" % client, "%d portunusd" % w.broker.pid)
    w.run("names").ends(OK).says("demo", "netname", "active", "org.example.kept", "kept", "bootstrap", "portunusd")
    expect("\x1b" not in w.run("ps").out, "colours in a pipe")


def test_more_names_than_a_page(w):
    w.start_broker("--config", w.write("config", "".join("service = s%03d\n" % i for i in range(300))))
    expect_equal([n["name"] for n in w.run("names", "--json").ends(OK).json()], ["s%03d" % i for i in range(300)])
    expect_equal({n["state"] for n in w.run("names", "--json").json()}, {"kept"})
    row = next(r for r in w.run("ps", "--json").json() if r["is_broker"])
    expect_equal(row["ports"], 302)
    listing = ls(w, w.broker.pid)
    expect_equal(len(listing), len({(r["task"], r["name"]) for r in listing}), "a name twice")
    expect_equal(sum("receive" in r["type"] for r in listing), 302)


def start_mover(w, *arguments):
    process = w.start_program([mover, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.header = int(process.stdout.readline().split()[1])  # bytes of a message that is nothing else
    return process


def say(process, line):
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def test_full_queues_and_blocked_senders(w):
    w.start_broker()
    receiver = start_mover(w, "--idle", "sink")
    sender = w.start("send", "sink", stdin=subprocess.PIPE)
    for i in range(500):
        sender.stdin.write(b"%d\n" % i)
    sender.stdin.flush()

    def blocked():
        listing = w.run("ls", "--json", str(sender.pid))
        return [r for r in listing.json() if r.get("blocked") and r["type"] == ["send"]] if listing.status == OK else []

    await_(blocked, "the sender waits")
    row = blocked()[0]
    expect(row["queued"] == row["limit"] and row["receiver"]["pid"] == receiver.pid, row)
    rows = {r["pid"]: r for r in ps(w)}
    expect_equal(rows[sender.pid]["blocked"], 1)
    queue = next(r for r in ports_of(w, receiver.pid) if r["queued"])
    # Nobody there has taken in what came before we asked.
    await_(lambda: next(r for r in ports_of(w, receiver.pid) if r["queued"])["queued"] == queue["limit"], "the queue")
    queue = next(r for r in ports_of(w, receiver.pid) if r["queued"])
    row = next(r for r in ps(w) if r["pid"] == receiver.pid)
    expect_equal((row["queued"], row["queued_bytes"]), (queue["queued"], queue["queued_bytes"]))
    expect(queue["queued_bytes"] >= receiver.header * queue["queued"], queue)
    say(receiver, "go")
    sender.stdin.close()
    sender.stdin = None
    w.finish(sender).ends(OK)
    await_(lambda: all(r["queued"] == 0 for r in ports_of(w, receiver.pid)), "all received")
    expect_equal(max(r["messages"] for r in ports_of(w, receiver.pid)), 500, "each line")


def ps(w):
    return w.run("ps", "--json").ends(OK).json()


def look(w, pid):
    """The first task of the mover: its totals, its names, and those of them that are the ports whose rights move."""
    totals = next(r for r in ps(w) if r["pid"] == pid)
    listing = [r for r in ls(w, pid) if r["task"] == totals["task"]]
    return totals, listing, [r for r in listing if "receive" in r["type"] and r["make_send_count"] == N_RIGHTS]


def is_at_rest(w, pid):
    totals, listing, moved = look(w, pid)
    return (all((r["references"], r["send_rights"], r["holders"]) == (N_RIGHTS, 1, []) for r in moved) and
            len(moved) == N_PORTS and totals["queued"] == 0 and totals["queued_bytes"] == 0)


def look_while_moving(w, pid, at_rest, header):
    """Of what is moved at most N_UNDER_WAY rights are not here; and they are counted nowhere twice."""
    for _ in range(10):
        totals, listing, moved = look(w, pid)
        expect_equal(len(moved), N_PORTS, "ports")
        expect(at_rest["send_references"] - N_UNDER_WAY <= totals["send_references"] <= at_rest["send_references"],
               "references: at rest", at_rest["send_references"], "now", totals["send_references"])
        expect_equal((totals["ports"], totals["send_rights"]), (at_rest["ports"], at_rest["send_rights"]))
        expect(totals["queued"] <= N_UNDER_WAY and totals["queued_bytes"] == totals["queued"] * header, totals)
        for r in moved:
            expect(N_RIGHTS - N_UNDER_WAY <= r["references"] <= N_RIGHTS and r["send_rights"] >= 1, r)
        names = [r["name"] for r in listing]
        expect_equal(len(names), len(set(names)), "a name twice")


def stress(w, *arguments):
    process = start_mover(w, *arguments)
    for turn in range(3):
        say(process, "rest")
        word, sent, received = process.stdout.readline().split()
        expect_equal(word, b"resting")
        # What another process gave back may be told to us a little later.
        await_(lambda: is_at_rest(w, process.pid), "all rights are at home")
        totals, listing, moved = look(w, process.pid)
        expect_equal(totals["send_references"], sum(r["references"] for r in listing if "send" in r["type"]))
        expect_equal(totals["ports"], sum("receive" in r["type"] for r in listing))
        # Beside those that the program counts there were a few calls to the broker.
        expect(0 <= totals["sent"] - int(sent) < 10 and 0 <= totals["received"] - int(received) < 10,
               totals["sent"], sent, totals["received"], received)
        say(process, "move")
        look_while_moving(w, process.pid, totals, process.header)
    process.stdin.close()
    process.stdin = None
    process.wait()


def test_totals_while_rights_move_between_tasks(w):
    w.start_broker()
    stress(w)


def test_totals_while_rights_move_between_processes(w):
    w.start_broker()
    start_mover(w, "--echo", "echo")
    stress(w, "echo")


def test_two_tasks_of_a_process(w):
    w.start_broker()
    process = start_mover(w)
    say(process, "rest")
    process.stdout.readline()
    rows = [r for r in ps(w) if r["pid"] == process.pid]
    expect_equal(len({r["task"] for r in rows}), 2)
    expect_equal([r["ports"] for r in rows][1], 1, "the other's queue")
    listing = ls(w, process.pid)
    queue = next(r for r in listing if r["task"] == rows[1]["task"] and "receive" in r["type"])
    expect_equal(queue["holders"], [{"task": rows[0]["task"]}])
    right = next(r for r in listing if r["task"] == rows[0]["task"] and (r.get("receiver") or {}).get("task"))
    expect_equal(right["receiver"], {"task": rows[1]["task"]})


def test_looking_takes_little_of_who_is_looked_at(w):
    """While one looks all the time, the inspected process goes on, and its tables stay whole."""
    w.start_broker()
    process = start_mover(w)
    counts = []
    for _ in range(5):
        counts.append(sum(r["sent"] for r in ps(w) if r["pid"] == process.pid))
    expect(counts == sorted(counts) and counts[0] < counts[-1], counts)


def test_bad_input(w):
    w.run("ps").complains(NO_BROKER, "no broker", "portunusd")
    w.run("names").complains(NO_BROKER, "no broker")
    w.run("ls", "1").complains(NO_BROKER, "no broker")
    w.start_broker()
    w.run("ls").complains(USAGE, "which process", "portunus ps")
    w.run("ls", "x").complains(USAGE, "PID")
    w.run("ls", "1", "2").complains(USAGE, "one process")
    w.run("ls", "0").complains(USAGE, "PID")
    w.run("ls", "1").complains(NOT_THERE, "process 1", "portunus ps")
    w.run("ps", "1").complains(USAGE, "portunus ls")
    w.run("names", "x").complains(USAGE, "names")
    ended = w.start_program(["true"])
    ended.wait()
    w.run("ls", str(ended.pid)).complains(NOT_THERE, str(ended.pid))
    reader, writer = os.pipe()
    os.close(reader)
    for arguments in (["ps"], ["names", "--json"], ["ls", str(w.broker.pid)]):
        process = w.start(*arguments, stdout=writer)
        expect_equal(w.finish(process).ends(OK).err, "")
    os.close(writer)


def test_who_is_stopped_holds_up_nobody_else(w):
    w.start_broker()
    server, client = start_portfs(w, 1)
    os.kill(client, signal.SIGSTOP)
    rows = {r["pid"]: r for r in ps(w)}
    expect("ports" in rows[server] and "does not answer" in rows[client]["error"], rows[client])
    w.run("ls", str(client)).complains(TIMED_OUT, str(client), "does not answer")
    os.kill(client, signal.SIGCONT)
    await_(lambda: w.run("ls", str(client)).status == OK, "the client answers again")


def test_many_that_are_stopped_are_waited_for_together(w):
    """One after the other they would take longer than anything may here."""
    w.start_broker()
    server, *clients = start_portfs(w, 40)
    for pid in clients:
        os.kill(pid, signal.SIGSTOP)
    rows = {r["pid"]: r for r in ps(w)}
    expect("ports" in rows[server] and all("does not answer" in rows[pid]["error"] for pid in clients), rows)
    for pid in clients:
        os.kill(pid, signal.SIGCONT)
    await_(lambda: all("ports" in r for r in ps(w)), "all answer again")


def test_nobody_leaves_anything_behind(w):
    """Looking takes nothing and leaves nothing: the same names, rights and links as before."""
    w.start_broker()
    server, client = start_portfs(w, 1)

    def state():
        rows = {r["pid"]: r for r in ps(w)}
        return [(rows[p]["names"], rows[p]["send_references"], rows[p]["once_rights"]) for p in (server, client)]

    before = state()
    for _ in range(10):
        ls(w, server)
        ls(w, client)
    expect_equal(state(), before)
    await_(lambda: {r["pid"]: r for r in ps(w)}[client]["links"] <= 3, "links of the commands have gone")


# ---- graph


def dot(w, *arguments, input):
    r = subprocess.run(["dot", *arguments], input=input.encode(), capture_output=True, timeout=DEADLINE)
    expect(r.returncode == 0, r.stderr)
    return r.stdout.decode()


def crossings(text):
    """How many pairs of edges cross in the layout, by the splines' points; those that share an end do not count."""
    edges = []
    for o in json.loads(text).get("edges", []):
        points = [tuple(map(float, p.split(",")[-2:])) for p in o["pos"].replace("e,", "").replace("s,", "").split()]
        # The first points are the arrowheads' tips.
        edges.append(({o["tail"], o["head"]}, [p for p in points[1:]]))

    def side(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    def cross(p, q, r, s):
        return side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0

    n = 0
    for i, (ends, a) in enumerate(edges):
        for others, b in edges[:i]:
            if not ends & others:
                n += any(cross(*x, *y) for x in zip(a, a[1:]) for y in zip(b, b[1:]))
    return n


def test_graph_of_a_server_and_twenty_clients(w):
    w.start_broker()
    server, *clients = start_portfs(w, 20)
    text = w.run("graph").ends(OK).out
    for pid in [server] + clients:
        expect_equal(text.count(">%d<" % pid), 1, "a box for each process")
    expect(str(w.broker.pid) not in text, "the broker")
    expect("<b>demo</b>" in text and "10 × portfs" in text and "receives" in text)
    # One file and one port for events for each client, and the root; each is received by one.
    expect_equal(text.count("shape=circle"), 41)
    expect_equal(text.count("penwidth=2.2"), 41)
    laid_out = dot(w, "-Tjson", input=text)
    expect_equal(crossings(laid_out), 0, "arrows cross")
    w.run("graph", "--svg", w.path("g.svg")).ends(OK)
    svg = open(w.path("g.svg"), encoding="utf-8").read()
    expect(svg.startswith("<?xml") and "demo" in svg and svg.rstrip().endswith("</svg>"))
    everything = w.run("graph", "--all").ends(OK).out
    expect("portunusd" in everything)
    dot(w, "-Tsvg", input=everything)


def test_graph_shows_queues(w):
    w.start_broker()
    receiver = start_mover(w, "--idle", "a<b>&\"c")
    sender = w.start("send", "netname:a<b>&\"c", stdin=subprocess.PIPE)
    sender.stdin.write(b"1\n2\n3\n")
    sender.stdin.flush()
    await_(lambda: "3/5" in w.run("graph").ends(OK).out, "three messages")
    text = w.run("graph").ends(OK).out
    expect("style=wedged" in text and "a&lt;b&gt;&amp;&quot;c" in text, text)
    dot(w, "-Tsvg", input=text)
    sender.stdin.write(b"4\n5\n6\n7\n")
    sender.stdin.flush()
    await_(lambda: "5/5" in w.run("graph").out, "a full queue")
    expect("style=filled, fillcolor=\"#d9480f\"" in w.run("graph").out)
    expect_equal(receiver.poll(), None)


def test_graph_says_what_is_wrong(w):
    w.run("graph").complains(NO_BROKER, "no broker")
    w.start_broker()
    dot(w, "-Tsvg", input=w.run("graph").ends(OK).out)  # of nothing
    w.run("graph", "x").complains(USAGE, "graph")
    w.run("graph", "--svg", w.path("g.svg"), PATH="/nowhere").complains(FAILED, "Graphviz")
    r = w.run("graph", "--svg", w.path("nowhere/g.svg")).ends(FAILED)
    expect("could not write" in r.err.splitlines()[-1], r.err)


# ---- top


def start_top(w, *arguments, **size):
    t = Terminal(w, " ".join([w.portunus, "top", "-d", "0.1", *arguments]), **size)
    w.terminals.append(t)
    return t


@in_terminal
def test_top_shows_tasks_and_ports(w):
    w.start_broker()
    busy = start_mover(w)
    t = start_top(w)
    t.await_text("PROGRAM", "SENT/s", "portunusd", "mover", "portunus top:")
    # What is fastest is first.
    await_(lambda: t.rows() and t.rows()[0][:2] == [str(busy.pid), "mover"], "the busy one is first")
    await_(lambda: float(t.rows()[0][3]) > 100, "its rate")
    t.keys("<")
    t.keys("<")
    t.keys("<")  # by pid, the greatest first
    await_(lambda: [int(r[0]) for r in t.rows()] == sorted((int(r[0]) for r in t.rows()), reverse=True), "sorted by pid")
    t.keys("r")
    await_(lambda: [int(r[0]) for r in t.rows()] == sorted(int(r[0]) for r in t.rows()), "the other way round")
    t.keys("r", "p")
    t.await_text("MSGS/s", "LIMIT")
    await_(lambda: len(t.rows()) == 28 and t.rows()[0][1] == "mover" and float(t.rows()[0][3]) > 100, "the busy port")
    t.keys("q")
    t.await_text("status 0")


@in_terminal
def test_top_fits_the_terminal(w):
    w.start_broker()
    for _ in range(5):
        start_mover(w)
    t = start_top(w, "--ports")
    t.await_text(" ports", "mover")
    await_(lambda: int(t.screen()[0].split()[2]) >= 1000, "a thousand ports")
    t.keys("NPage")
    t.resize(70, 12)
    await_(lambda: len(t.screen()) == 12 and len(t.rows()) == 10, "a smaller screen")
    t.resize(50, 12)
    t.await_text("too small")
    t.resize(20, 3)
    t.await_text("too small")
    t.resize(120, 40)
    await_(lambda: len(t.rows()) == 38 and "too small" not in "\n".join(t.screen()), "a larger one")
    t.keys("Home")
    # A screen that is drawn over and over is not cleared in between: from now on nothing of the kind is sent.
    before = os.path.getsize(w.path("sent"))
    await_(lambda: os.path.getsize(w.path("sent")) > before + 2000, "some refreshes")
    with open(w.path("sent"), "rb") as f:
        f.seek(before)
        sent = f.read()
    expect(b"\x1b[2J" not in sent and b"\x1b[J" not in sent and b"\x1b[3J" not in sent, "the screen was cleared")
    t.keys("q")
    t.await_text("status 0")


@in_terminal
def test_top_says_what_is_wrong(w):
    w.run("top").complains(NO_BROKER, "no broker")
    w.start_broker()
    w.run("top").complains(FAILED, "terminal", "portunus ps")
    w.run("top", "x").complains(USAGE, "top")
    w.run("top", "-d", "x").complains(USAGE, "--delay")
    t = start_top(w)
    t.await_text("portunusd")
    w.broker.kill()
    w.broker.wait()
    t.await_text("portunus top: no broker", "status 3")
    t.close()
    w.start_broker()
    t = Terminal(w, "TERM=no-such-type " + w.portunus + " top")
    w.terminals.append(t)
    t.await_text("no-such-type", "status 1")


# ---- other users

OTHER = 65534


def as_other(w, *arguments):
    return w.finish(w.start(*arguments, user=OTHER, group=OTHER, extra_groups=[]))


def test_another_user_is_refused(w):
    if os.getuid() != 0:
        print("skipped: only root can be two users")
        return
    os.chmod(w.dir, 0o755)
    w.start_broker("--mode", "0666")
    server, client = start_portfs(w, 1)
    r = as_other(w, "ls", str(server)).complains(REFUSED, str(server), "another user", "root")
    rows = {r["pid"]: r for r in as_other(w, "ps", "--json").ends(OK).json()}
    expect("another user" in rows[server]["error"] and "ports" not in rows[server], rows[server])
    expect_equal(as_other(w, "names", "--json").ends(OK).json()[0]["pid"], server)
    # It sees its own, and root sees everybody's.
    theirs = w.start_program([portfs, "watch", "demo", "file"], stdout=subprocess.DEVNULL, user=OTHER, group=OTHER,
                             extra_groups=[])
    await_(lambda: any(r["pid"] == theirs.pid and r.get("ports", 0) > 1 for r in as_other(w, "ps", "--json").json()),
           "its own process")
    as_other(w, "ls", str(theirs.pid)).ends(OK)
    w.run("ls", str(theirs.pid)).ends(OK)
    expect(all("ports" in r for r in ps(w)), "root sees all")


if __name__ == "__main__":
    sys.exit(main(globals(), sys.argv[1], sys.argv[2], sys.argv[5:]))
