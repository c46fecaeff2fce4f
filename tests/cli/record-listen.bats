#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# `cowtrace record --listen` given what cannot work: one clear line, the documented
# exit status (docs/exit-status.md), and nothing left.  COWTRACE comes from the build.

bats_require_minimum_version 1.5.0

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

# What does not end by itself is an error of the test, and is ended.
record()
{
	run --separate-stderr timeout 60 "$COWTRACE" record -o "$trace" "$@"
}

refused()
{
	local wanted=$1
	shift
	[ "$status" = "$wanted" ] || { echo "status $status: $stderr"; return 1; }
	[ "$(printf '%s\n' "$stderr" | grep -c '^cowtrace record: ')" = 1 ] ||
		{ echo "not one line: $stderr"; return 1; }
	for word; do
		[[ "$stderr" == *"$word"* ]] || { echo "no \"$word\" in: $stderr"; return 1; }
	done
	[ -z "$(find "$dir" -name '*cowtrace*' -o -type s)" ] || { ls -la "$dir"; return 1; }
}

@test "a path that is too long for a socket: 121" {
	record --listen "/tmp/$(printf 'x%.0s' {1..108})"
	refused 121 "107 bytes" shorter
}

@test "the longest path there can be is not" {
	path=$dir/$(printf 'x%.0s' $(seq $((106 - ${#dir}))))
	"$COWTRACE" record --listen "$path" -o "$trace" 2>"$dir/err" &
	while ! grep -q listening "$dir/err"; do kill -0 $! && sleep 0.05; done
	[ -S "$path" ]
	kill $!
	wait $!
	[ ! -e "$path" ]
}

@test "a folder that is not there: 121" {
	record --listen "$dir/missing/socket"
	refused 121 "no folder $dir/missing" "create it"
}

@test "a folder that is a file: 121" {
	touch "$dir/file"
	record --listen "$dir/file/socket"
	refused 121 "$dir/file"
}

@test "a path that is not absolute: 121" {
	record --listen socket
	refused 121 "begins with /"
}

@test "a file that is no socket stays: 121" {
	echo precious >"$dir/file"
	record --listen "$dir/file"
	refused 121 "no socket" "another path"
	[ "$(cat "$dir/file")" = precious ]
}

@test "a symbolic link is no socket either: 121" {
	ln -s nowhere "$dir/link"
	record --listen "$dir/link"
	refused 121 "no socket"
	[ -L "$dir/link" ]
}

@test "a folder at the path: 121" {
	mkdir "$dir/folder"
	record --listen "$dir/folder"
	refused 121 "no socket"
}

@test "a socket of somebody else's service stays: 121" {
	python3 - "$dir/other" <<-'EOF' &
		import socket, sys, time
		s = socket.socket(socket.AF_UNIX)
		s.bind(sys.argv[1])
		s.listen()
		time.sleep(60)
	EOF
	other=$!
	while [ ! -S "$dir/other" ]; do sleep 0.05; done
	run --separate-stderr timeout 60 "$COWTRACE" record -o "$trace" --listen "$dir/other"
	kill $other
	[ "$status" = 121 ]
	[[ "$stderr" == *"somebody answers"* ]]
	[ -S "$dir/other" ]
}

@test "--listen with a command: 2" {
	record --listen "$dir/socket" -- true
	refused 2 --listen command
}

@test "neither --listen nor a command: 2" {
	record
	refused 2 "no command"
}

@test "--listen with --user: 2" {
	record --listen "$dir/socket" --user nobody
	refused 2 --user
}

@test "--listen-group without --listen: 2" {
	record --listen-group daemon -- true
	refused 2 --listen-group
}

@test "a group that is not there: 2" {
	record --listen "$dir/socket" --listen-group no-such-group
	refused 2 no-such-group
}

@test "a trace that cannot be created: 124, and no socket is left" {
	run --separate-stderr timeout 60 "$COWTRACE" record -o "$dir/missing/t" --listen "$dir/socket"
	refused 124 "no folder"
}

@test "nobody came: the status is 0, and a line says why that may be" {
	"$COWTRACE" record --listen "$dir/socket" -o "$trace" 2>"$dir/err" &
	while ! grep -q listening "$dir/err"; do kill -0 $! && sleep 0.05; done
	kill $!
	wait $!
	grep -q "no program came" "$dir/err"
	"$COWTRACE" report "$trace" | grep -q "No fork was recorded"
}

@test "a size or a time that is none: 2" {
	for option in --rotate-size=12X --rotate-size=-1 --max-disk=much --rotate-every=1y; do
		record "$option" -- true
		refused 2 "${option%%=*}" "takes a"
	done
}

@test "sizes that are too small to work with: 2" {
	record --rotate-size 1k -- true
	refused 2 --rotate-size 256k
	record --max-disk 1M -- true
	refused 2 --max-disk 4M
}

@test "a file that leaves no room for another: 2" {
	record --rotate-size 64M --max-disk 100M -- true
	refused 2 --rotate-size --max-disk
}

@test "--keep of what is never put aside: 2" {
	record --keep 3 -- true
	refused 2 --keep --rotate-size
}
