#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What a report on a large trace may cost.  COWTRACE and GEN_TRACE come from the
# build.

setup()
{
	: "${COWTRACE:?run this by meson test}"
	dir=$(mktemp -d)
	trace=$dir/t.cowtrace
}

teardown()
{
	rm -rf "$dir"
}

generate()
{
	"$GEN_TRACE" "$trace" "$@"
}

# CPU time of a report on $trace: others on the machine do not count.
takes_less_than()
{
	for format in text json; do
		TIMEFORMAT='%U %S'
		cpu=$({ time "$COWTRACE" report -f $format "$trace" >"$dir/out"; } 2>&1)
		echo "$format: $cpu s"
		awk -v most="$1" '{ exit !($1 + $2 < most) }' <<<"$cpu"
	done
}

@test "a thousand forks and a hundred thousand regions in two seconds" {
	[ -z "$SANITIZED" ] || skip "the sanitizers make it slow"
	generate 1000 100000
	takes_less_than 2
}

@test "a million first writes in three seconds and 256 MiB" {
	[ -z "$SANITIZED" ] || skip "the sanitizers make it slow"
	generate 100 8000 writes
	[ "$(sqlite3 "$trace" 'SELECT count(*) >= 1000000 FROM writes')" = 1 ]
	takes_less_than 3
	# Address space is more than what is resident: stricter than the bar.
	(ulimit -v $((256 * 1024)) && "$COWTRACE" report -f json "$trace" >"$dir/out")
}
