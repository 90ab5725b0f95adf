#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test-inspect.py PORTUNUS PORTUNUSD PORTFS MOVER: ps, ls and names, and what lies beneath them, shown the truth."""

import os
import shutil
import signal
import subprocess
import sys
import time

from harness import NO_BROKER, NOT_THERE, OK, REFUSED, TIMED_OUT, USAGE, World, await_, expect, expect_equal, main

portfs, mover = (os.path.realpath(p) for p in sys.argv[3:5])
N_CLIENTS = 100
N_PORTS, N_RIGHTS = 200, 7  # of mover


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


def queue_of(w, pid):
    return [(r["queued"], r["limit"]) for r in ports_of(w, pid)]


def test_full_queues_and_blocked_senders(w):
    """A receiver that is stopped: its queue fills up, and who sends waits."""
    w.start_broker()
    receiver = w.start("recv", "sink", stdin=subprocess.DEVNULL)
    await_(lambda: w.is_there("sink"), "the receiver")
    receiver.send_signal(signal.SIGSTOP)
    sender = w.start("send", "sink", stdin=subprocess.PIPE)
    for i in range(500):
        sender.stdin.write(b"%d\n" % i)
    sender.stdin.flush()

    def blocked():
        listing = w.run("ls", "--json", str(sender.pid))
        return [r for r in listing.json() if r.get("blocked") and r["type"] == ["send"]] if listing.status == OK else []

    await_(blocked, "the sender waits")
    row = blocked()[0]
    expect(row["queued"] >= row["limit"] and row["receiver"]["pid"] == receiver.pid, row)
    expect_equal(next(r for r in w.run("ps", "--json").json() if r["pid"] == sender.pid)["blocked"], 1)
    receiver.send_signal(signal.SIGCONT)
    sender.stdin.close()
    sender.stdin = None
    w.finish(sender).ends(OK)


def totals_at_rest(w, pid, other=None):
    """What there is when the mover rests: all rights are at home. Returns (sent, received) of its first task."""
    rows = [r for r in ps(w) if r["pid"] == pid]
    first = rows[0]
    listing = [r for r in ls(w, pid) if r["task"] == first["task"]]
    moved = [r for r in listing if "receive" in r["type"] and r["send_rights"] == N_RIGHTS]
    expect_equal(len(moved), N_PORTS)
    expect_equal([r for r in moved if r["references"] != N_RIGHTS or r["holders"]], [])
    expect_equal(first["send_references"], sum(r.get("references", 0) for r in listing if "send" in r["type"]))
    expect_equal((first["ports"], first["queued"], first["queued_bytes"]), (sum("receive" in r["type"] for r in listing), 0, 0))
    return first["sent"], first["received"]


def ps(w):
    return w.run("ps", "--json").ends(OK).json()


def look_while_moving(w, process, counts_may_be_more):
    for _ in range(15):
        listing = ls(w, process.pid)
        moved = [r for r in listing if "receive" in r["type"] and r["send_rights"] >= N_RIGHTS]
        expect_equal(len(moved), N_PORTS, "a port is missing, or has lost rights")
        if not counts_may_be_more:
            expect_equal([r["send_rights"] for r in moved if r["send_rights"] != N_RIGHTS], [])
        expect_equal([r for r in moved if r["references"] > N_RIGHTS], [])
        names = [(r["task"], r["name"]) for r in listing]
        expect_equal(len(names), len(set(names)), "a name twice")


def say(process, line):
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


def stress(w, arguments, counts_may_be_more):
    process = w.start_program([mover, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    expect_equal(process.stdout.readline(), b"moving\n")
    before = (0, 0)
    for _ in range(3):
        look_while_moving(w, process, counts_may_be_more)
        say(process, "rest")
        word, sent, received = process.stdout.readline().split()
        expect_equal(word, b"resting")
        # Where others hold rights, the last that they have given back may still be on its way.
        last = []

        def settled():
            last[:] = [None]
            try:
                last[0] = totals_at_rest(w, process.pid)
            except Exception as error:
                last[0] = error
            return not isinstance(last[0], Exception)

        if counts_may_be_more:
            await_(settled, "all rights at home")
        else:
            expect(settled(), last[0])
        if arguments:  # the messages of this task are those that the program counts, and those of calls to the broker
            expect(int(sent) <= last[0][0] and int(received) <= last[0][1], last[0], sent, received)
            expect(last[0][0] - int(sent) < 20, last[0], sent)
        else:
            expect(last[0][0] + 1 >= int(sent) - before[0] - 10**9, last[0])
        say(process, "move")
    process.stdin.close()
    process.stdin = None
    process.wait()


def test_totals_while_rights_move_between_tasks(w):
    w.start_broker()
    stress(w, [], False)


def test_totals_while_rights_move_between_processes(w):
    w.start_broker()
    echo = w.start_program([mover, "--echo", "echo"], stdout=subprocess.PIPE)
    expect_equal(echo.stdout.readline(), b"echoing\n")
    stress(w, ["echo"], True)


def test_two_tasks_of_a_process(w):
    w.start_broker()
    process = w.start_program([mover], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
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
    process = w.start_program([mover], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
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
