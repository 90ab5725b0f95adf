#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test-call.py PORTUNUS PORTUNUSD SORTS SORTS.defs SOURCE_ROOT: calls of MIG servers from the shell, beside those of stubs."""

import json
import os
import subprocess
import sys

from harness import (ANSWER, DEFS, FAILED, NO_BROKER, NOT_THERE, OK, TIMED_OUT, USAGE, await_, expect, expect_equal,
                     main)

sorts, defs, root = (os.path.realpath(path) for path in sys.argv[3:6])
include = os.path.join(root, "include")


class Server:
    """sorts, and what it has printed of requests so far."""

    def __init__(self, w, name="sorts"):
        w.start_broker()
        self.w, self.log = w, w.path("requests")
        with open(self.log, "wb") as log:
            self.process = w.start_program([sorts, "serve", name], stdout=log)
        await_(lambda: "serving\n" in open(self.log).read(), "the server")
        self.seen = 1

    def requests(self):
        lines = open(self.log).read().splitlines()
        new, self.seen = lines[self.seen:], len(lines)
        return new

    def call(self, routine, *arguments, options=()):
        return self.w.run("call", *options, "sorts", defs, routine, *arguments)

    def results(self, routine, *arguments):
        line, = self.call(routine, *arguments, options=["--json"]).ends(OK).json()
        expect_equal(line["routine"], routine)
        return line["results"]


quad = {"w": 1, "x": 2, "y": 3, "z": 4}

# What sorts.c asks with its stubs, in its order.
asked = [
    ("sorts_numbers", "-5", str(1 << 40), "300", "x", "true", "255"),
    ("sorts_real", "2.5"),
    ("sorts_strings", "one", "two", "three", "four"),
    ("sorts_arrays", "1,2,3,4,5,6,7,8,-9", "characters", "[[1,2,3],[4,5,6]]", "1,2,3,4"),
    ("sorts_large", ",".join(str(i) for i in range(5000))),
    ("sorts_rows", "1,2,3", "row", "[[1,2,3,4],[5,6,7,8]]"),
    ("sorts_record", '{"d": 4, "a": 1, "b": 2, "c": 3}'),
    ("sorts_tell", "7"),
    ("sorts_told",),
    ("sorts_slow", "10000", "5"),
    ("sorts_blobs", "bytes", "0,1"),
    ("sorts_blobs", "x" * 5000, ",".join(str(i) for i in range(300))),
    ("sorts_run", "1,2,3", "pages"),
    ("sorts_right", "sorts"),
    ("sorts_rights", "sorts,sorts,null"),
    ("sorts_made", "new", "new", "new"),
]


def test_requests_are_those_of_stubs(w):
    server = Server(w)
    subprocess.run([sorts, "ask", "sorts"], env=w.env, check=True, timeout=60)
    by_stubs = server.requests()
    for call in asked:
        server.call(*call).ends(OK)
    expect_equal(len(by_stubs), len(asked))
    for stub, ours in zip(by_stubs, server.requests()):
        expect_equal(ours, stub)


def test_results_of_plain_types(w):
    server = Server(w)
    expect_equal(server.results("sorts_numbers", "-1", "0x10", "-32768", "65", "0", "0"), {"g": 15, "h": -32768, "i": 66})
    expect_equal(server.results("sorts_real", "1e3"), {"b": 500.0})
    expect_equal(server.results("sorts_strings", "", "b", "c\n", "d" * 4999), {"e": "4999", "f": "+b+c\n"})
    expect_equal(server.results("sorts_record", "[1,2,3,4]"), {"b": {"a": -1, "b": 3, "c": -3, "d": -4}})
    expect_equal(server.results("sorts_told"), {"value": 0})
    expect_equal(server.results("sorts_slow", "100000", "3"), {"answer": 3})


def test_results_of_arrays(w):
    server = Server(w)
    expect_equal(server.results("sorts_arrays", "[1,2,3,4,5,6,7,8,9]", "", "[[1,2,3],[4,5,6]]", "[1,2,3,4]"),
                 {"d": [4, 3, 2, 1]})
    expect_equal(server.results("sorts_large", json.dumps([1] * 5000)), {"sum": sum(i % 7 for i in range(5000))})
    expect_equal(server.results("sorts_rows", "1,-2", "xyz", "[]"), {"d": [2, -4], "e": "2 3 0"})
    expect_equal(server.results("sorts_rows", "", "", ""), {"d": [], "e": "0 0 0"})
    expect_equal(server.results("sorts_run", "[1,2]", "@" + w.write("pages", b"p" * 10000)), {"c": [3, 6]})
    for n in 0, 1, 2048, 2049, 100000:
        result = server.results("sorts_blobs", "@" + w.write("blob", b"ab" * (n // 2) + b"c" * (n % 2)), "")
        expect_equal(result["c"], "c" * (n % 2) + "ba" * (n // 2), n)
    for n in 0, 256, 257, 3000:
        result = server.results("sorts_blobs", "@@not a file", json.dumps(list(range(n))))
        expect_equal(result, {"c": "elif a ton@", "d": list(range(n))[::-1]})


def test_rights(w):
    server = Server(w)
    result = server.results("sorts_right", "sorts")
    expect_equal((result["b"]["right"], result["c"]), ("send", 1))
    expect_equal(server.results("sorts_right", "null")["c"], 0)
    expect_equal(server.results("sorts_right", "dead")["c"], 0)
    expect_equal(server.results("sorts_right", "self")["c"], 1)
    expect_equal(server.results("sorts_rights", json.dumps(["sorts"] * 700)), {"b": 700})
    server.call("sorts_right", "nobody").complains(NOT_THERE, '"nobody"')
    server.call("sorts_made", "sorts", "new", "new").complains(USAGE, "sorts_made: a", "write new")
    path = w.write("file", "what is in the file")
    with open(path) as file:
        r = w.finish(w.start("call", "--json", "sorts", defs, "sorts_file", "fd:0", stdin=file)).ends(OK)
    results = r.json()[0]["results"]
    expect_equal((results["b"], results["c"]["file"]), ("what is in the file", path))
    server.call("sorts_file", "fd:99").complains(FAILED, "descriptor 99")


def test_calls_in_a_row(w):
    server = Server(w)
    r = server.call("sorts_open", "3", "+", "sorts_number_of@room", "+", "sorts_open", "5", "+", "sorts_number_of@room",
                    "+", "sorts_right", "result:room", "+", "sorts_number_of@b")
    expect_equal([line for line in r.ends(OK).out.splitlines() if line.startswith("number")],
                 ["number: 3", "number: 5", "number: 5"])
    server.call("sorts_number_of@room").complains(USAGE, '"room"')
    server.call("sorts_right", "result:room").complains(USAGE, '"room"')
    server.call("sorts_open", "3", "+", "sorts_told", "+", "sorts_refuse", "5").ends(ANSWER).says("value: 0")


def test_text_results(w):
    server = Server(w)
    expect_equal(server.call("sorts_strings", "a", "b\n", "c", "d").ends(OK).out, "e: 1\nf: a+b\\n+c\n")
    expect_equal(server.call("sorts_rows", "1,2", "", "").ends(OK).out, "d: [ 2, 4 ]\ne: 2 0 0\n")
    expect_equal(server.call("sorts_right", "sorts").ends(OK).out, "b: send right\nc: 1\n")
    expect_equal(server.call("sorts_tell", "12").ends(OK).out, "")
    expect_equal(server.call("sorts_told").ends(OK).out, "value: 12\n")


def test_errors_of_the_server(w):
    server = Server(w)
    server.call("sorts_refuse", "4").complains(ANSWER, "sorts_refuse", "(4)", "KERN_INVALID_ARGUMENT")
    line, = server.call("sorts_refuse", "4", options=["--json"]).ends(ANSWER).json()
    expect_equal((line["routine"], line["error"]), ("sorts_refuse", 4))
    server.call("sorts_open", "99").complains(ANSWER, "KERN_INVALID_ARGUMENT")
    other = w.write("other.defs", "subsystem other 48100;\n#include <mach/std_types.defs>\n"
                    "routine foreign(s: mach_port_t; a: int);\n")
    w.run("call", "sorts", other, "foreign", "1").complains(ANSWER, "MIG_BAD_ID", "its interface")
    other = w.write("less.defs", "subsystem sorts 48018;\n#include <mach/std_types.defs>\nskip;\n"
                    "routine sorts_told(s: mach_port_t; a: int);\nskip;\n"
                    "routine sorts_open(s: mach_port_t; a: int; out room: uint64_t);\n")
    w.run("call", "sorts", other, "sorts_told", "1").complains(ANSWER, "MIG_BAD_ARGUMENTS", "its interface")
    w.run("call", "sorts", other, "sorts_open", "1").complains(FAILED, "does not fit the interface", "room")


def test_the_server_is_gone(w):
    w.run("call", "sorts", defs, "sorts_told").complains(NO_BROKER, "no broker")
    server = Server(w)
    w.run("call", "nobody", defs, "sorts_told").complains(NOT_THERE, '"nobody"')
    w.start("recv", "box", stdout=subprocess.DEVNULL)
    await_(lambda: w.is_there("box"), "the name")
    w.run("call", "box", defs, "sorts_told").complains(NOT_THERE, "dropped the request")
    w.run("call", "--timeout", "0.05", "netname:sorts", defs, "sorts_told").ends(OK)
    server.call("sorts_die").complains(NOT_THERE, "has died")


def test_nobody_answers_in_time(w):
    w.start_broker("--service", "kept")
    w.run("call", "--timeout", "0.05", "kept", defs, "sorts_told").complains(TIMED_OUT, "sorts_told", "--timeout")
    w.run("call", "kept", defs, "sorts_slow", "50", "1").complains(TIMED_OUT, "sorts_slow")


wrong_arguments = [
    (("sorts_refuse", "x"), "sorts_refuse: code", "int32", '"x"'),
    (("sorts_refuse", ""), "int32"),
    (("sorts_refuse", "4294967296"), "int32"),
    (("sorts_refuse", "-2147483649"), "int32"),
    (("sorts_refuse", "1 "), "int32"),
    (("sorts_numbers", "1", "-9223372036854775809", "1", "1", "1", "1"), "b", "int64"),
    (("sorts_numbers", "1", "18446744073709551616", "1", "1", "1", "1"), "b", "int64"),
    (("sorts_numbers", "1", "1", "65536", "1", "1", "1"), "c", "int16"),
    (("sorts_numbers", "1", "1", "1", "xy", "1", "1"), "d", "char"),
    (("sorts_numbers", "1", "1", "1", "1", "maybe", "1"), "e", "boolean"),
    (("sorts_numbers", "1", "1", "1", "1", "1", "256"), "f", "byte"),
    (("sorts_real", "1.5x"), "real64"),
    (("sorts_strings", "s" * 32, "", "", ""), "a", "string[..31]", "32"),
    (("sorts_strings", "", "s" * 64, "", ""), "b", "string[..63]"),
    (("sorts_arrays", "1,2,3", "", "", ""), "a", "int32[9]", "3"),
    (("sorts_arrays", "1,2,3,4,5,6,7,8,x", "", "", ""), "a", '"x"'),
    (("sorts_arrays", "[1,2,3,4,5,6,7,8", "", "", ""), "a", "JSON"),
    (("sorts_arrays", "1,2,3,4,5,6,7,8,9", "c" * 301, "", ""), "b", "char[300]", "301"),
    (("sorts_arrays", "1,2,3,4,5,6,7,8,9", "", "[[1,2,3],4]", ""), "c", "int16[3]"),
    (("sorts_rows", ",".join(["1"] * 65), "", ""), "a", "int32[..64]", "65"),
    (("sorts_rows", '{"a":1}', "", ""), "a", "int32[..64]"),
    (("sorts_record", '{"a": 1, "b": 2, "c": 3}'), "a", "each member"),
    (("sorts_record", '{"a": 1, "b": 2, "c": 3, "e": 4}'), '"d"'),
    (("sorts_record", '{"a": 1, "b": [2], "c": 3, "d": 4}'), "[ 2 ]"),
    (("sorts_tell",), "sorts_tell wants 1 arguments, not 0", "sorts_tell(value: int32)"),
    (("sorts_tell", "1", "2"), "not 2"),
    (("sorts_rights", "sorts,result:x"), '"x"'),
]


def test_arguments_of_wrong_types(w):
    server = Server(w)
    for call, *words in wrong_arguments:
        server.call(*call).complains(USAGE, *words)
    server.call("sorts_blobs", "@" + w.path("nothing"), "").complains(FAILED, "nothing", "No such file")
    server.call("sorts_fly").complains(NOT_THERE, '"sorts_fly"', "--list")
    expect_equal(server.requests(), [])


head = "subsystem s 100;\n#include <mach/std_types.defs>\n"

# What is wrong, where, and what is said of it.
wrong_defs = [
    ("", 1, "no subsystem"),
    ("this is text\n", 1, '"this" begins no statement'),
    ("subsystem;\n", 1, "the name of the subsystem"),
    ("subsystem s x;\n", 1, "a number"),
    ("subsystem s 100\nroutine r(s: int);\n", 2, 'here has to be ";"'),
    ("routine r(s: int);\n", 1, "subsystem NAME NUMBER"),
    (head + "\nroutine r(s: mach_port_t; a: nothing_t);\n", 4, '"nothing_t" is not defined'),
    (head + "routine r(s: mach_port_t; a int);\n", 3, 'here has to be ":"'),
    (head + "routine r(s: mach_port_t;\n a: int\n;\n", 6, "the end of the file"),
    (head + "routine r();\n", 3, "no argument for the port"),
    (head + "routine r(s: int);\n", 3, '"s" is to be the port'),
    (head + "type t = array[*:3] int;\n", 3, 'here has to be "of"'),
    (head + "type t = array[3 of int;\n", 3, 'here has to be "]"'),
    (head + "type t = array[99999999999999999999] of int;\n", 3, "no number"),
    (head + "type t = array[3/0] of int;\n", 3, "division by 0"),
    (head + "type t = array[0xffffffffffff] of int;\n", 3, "too large"),
    (head + "type t = c_string[0];\n", 3, "c_string"),
    (head + "type t = struct { };\n", 3, "members"),
    (head + "type t = struct { int a };\n", 3, 'here has to be ";"'),
    (head + "type t = MACH_MSG_TYPE_REAL;\n", 3, "size"),
    (head + "type t = MACH_MSG_TYPE_NONE;\n", 3, "not defined"),
    (head + "type t = int\ntype u = int;\n", 4, 'here has to be ";"'),
    (head + "type t = array[3] of array[] of int;\n", 3, "fixed size"),
    (head + "type t = ^array[*:3] of int;\n", 3, "upper bound"),
    (head + "type t = ^int;\nroutine r(s: mach_port_t; a: t);\n", 4, "out of line"),
    (head + 'import "x;\n', 3, "never closed"),
    (head + "subsystem again 200;\n", 3, "second subsystem"),
    (head + "#include <no/such.defs>\n", 3, "no/such.defs"),
    ("\x00\xff\xfe", 1, ""),
]


def test_wrong_interfaces(w):
    for text, line, what in wrong_defs:
        path = w.write("wrong.defs", text.encode("latin-1"))
        r = w.run("call", "x", path, "r").complains(DEFS, what)
        expect("wrong.defs:%d:" % line in r.err, "%r: line %d: %s" % (text, line, r.err))
    w.run("call", "x", w.path("none.defs"), "r").complains(DEFS, "none.defs", "No such file")
    w.run("call", "x").complains(USAGE, "which interface")
    w.run("call").complains(USAGE, "whom")
    w.run("call", "x", defs).complains(USAGE, "which routine", "--list")
    w.run("call", "x", defs, "r", CPP="/no/such/cpp").complains(FAILED, "/no/such/cpp", "CPP")
    w.run("call", "x", defs, "r", CPP="false").complains(DEFS, "preprocessor failed")


def test_wrong_interfaces_in_included_files(w):
    w.write("inner.defs", "\n\ntype t = ;\n")
    outer = w.write("outer.defs", head + '#include "inner.defs"\n')
    r = w.run("call", "x", outer, "r").complains(DEFS, "inner.defs:3:")


def test_garbage_never_hangs_or_crashes(w):
    text = open(defs, "rb").read()
    for cut in range(0, len(text), 211):
        r = w.run("call", "--list", "x", w.write("cut.defs", text[:cut] + b"\n"))
        expect(r.status in (OK, DEFS), r.status, r.err)
        r = w.run("call", "--list", "x", w.write("cut.defs", text[:cut] + text[cut + 7:]))
        expect(r.status in (OK, DEFS), r.status, r.err)


def test_every_interface_there_is(w):
    """Those of this repository, and of Mach itself where they are installed: with the numbers that MIG gives."""
    found = 0
    for directory, _, files in os.walk(root):
        for name in files:
            if not name.endswith(".defs") or "/build/" in directory + "/":
                continue
            found += 1
            w.run("call", "--list", "-I", include, "x", os.path.join(directory, name)).ends(OK)
    expect(found > 8, found)
    lines = w.run("call", "--list", "--json", "x", os.path.join(include, "servers/bootstrap.defs")).ends(OK).json()
    expect_equal({line["routine"]: line["id"] for line in lines},
                 {"bootstrap_check_in": 402, "bootstrap_register": 403, "bootstrap_look_up": 404, "bootstrap_status": 407,
                  "bootstrap_create_service": 410})
    listed = w.run("call", "--list", "--json", "x", defs).ends(OK).json()
    expect_equal([(line["id"], line["simple"]) for line in listed if line["routine"] in ("sorts_refuse", "sorts_tell")],
                 [(48017, False), (48018, True)])


def test_mach_itself(w):
    for name in "mach", "mach4", "mach_host", "mach_port", "notify", "gnumach", "task_notify", "exc":
        path = w.write("system.defs", "#include <mach/%s.defs>\n" % name)
        r = w.run("call", "--list", "x", path)
        expect(r.status == OK or "No such file" in r.err, name, r.err)


def test_run_hands_the_rights_over(w):
    """In the order given."""
    server = Server(w)
    server.call("sorts_tell", "42").ends(OK)
    r = w.run("run", "--with", "sorts", "--with", "netname:sorts", "--", sorts, "hold").ends(OK)
    expect_equal(r.out, "42\n42\n")


if __name__ == "__main__":
    sys.exit(main(globals(), sys.argv[1], sys.argv[2], sys.argv[6:]))
