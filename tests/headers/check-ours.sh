#!/bin/sh
# SPDX-License-Identifier: MIT
# The public headers include no Mach header that is not ours: a system with gnumach-dev has its own in a directory that
# every compiler searches, and would lend them silently where one of ours is missing.
#   usage: check-ours.sh SOURCE_INCLUDE GENERATED_INCLUDE COMPILER...
set -eu

ours=$1
generated=$2
shift 2

everything=$(cd "$ours" && find . -name '*.h' | sed 's,^\./\(.*\),#include <\1>,')
seen=$(printf '%s\n' "$everything" | "$@" -fsyntax-only -H -x c -I"$generated" -I"$ours" - 2>&1) || {
	printf '%s\n' "$seen"
	exit 1
}
foreign=$(printf '%s\n' "$seen" | sed -n 's/^\.\.* //p' | grep -E '/(mach|mach_debug|device)/|/mach[_a-z]*\.h$' |
	grep -v -F -e "$ours/" -e "$generated/" || true)
[ -z "$foreign" ] || {
	printf 'from elsewhere:\n%s\n' "$foreign"
	exit 1
}
