#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# `cowtrace record` given what cannot work: one clear line, the documented exit
# status (docs/exit-status.md), the command's work not lost, and nothing left
# that looks whole.  COWTRACE, STATIC_PROGRAM and FORKER come from the build.

bats_require_minimum_version 1.5.0

setup()
{
	: "${COWTRACE:?run this by meson test}"
	dir=$(mktemp -d)
	chmod 777 "$dir"
	trace=$dir/t.cowtrace
}

teardown()
{
	! mountpoint -q "$dir/full" || umount "$dir/full"
	rm -rf "$dir"
}

record()
{
	run --separate-stderr "$COWTRACE" record -o "$trace" "$@"
}

# The same for commands that are not found: bats wants to be told.
record_127()
{
	run -127 --separate-stderr "$COWTRACE" record -o "$trace" "$@"
}

# One line, of cowtrace, that holds every one of the words.
one_line()
{
	[ "$(printf '%s\n' "$stderr" | wc -l)" = 1 ] || { echo "not one line: $stderr"; return 1; }
	[[ "$stderr" == cowtrace* ]] || { echo "not of cowtrace: $stderr"; return 1; }
	for word; do
		[[ "$stderr" == *"$word"* ]] || { echo "no \"$word\" in: $stderr"; return 1; }
	done
}

# Lines that are not the summary of a recording.
warned()
{
	for word; do
		[[ "$stderr" == *"$word"* ]] || { echo "no \"$word\" in: $stderr"; return 1; }
	done
}

nothing_left()
{
	[ -z "$(find "$dir" -name '*cowtrace*')" ] || { ls -la "$dir"; return 1; }
}

status_is()
{
	[ "$status" = "$1" ] || { echo "status $status: $stderr"; return 1; }
}

@test "a command that is not there: 127" {
	record_127 -- "$dir/missing"
	one_line missing
	nothing_left
}

@test "a command that PATH does not have: 127" {
	record_127 -- no-such-command-of-cowtrace
	one_line no-such-command-of-cowtrace
	nothing_left
}

@test "a command that may not be executed: 126" {
	echo 'echo hello' >"$dir/plain"
	record -- "$dir/plain"
	status_is 126
	one_line plain
	nothing_left
}

@test "a folder as the command: 126" {
	record -- "$dir"
	status_is 126
	one_line "$dir"
	nothing_left
}

@test "no command: usage, 2" {
	record
	status_is 2
	nothing_left
}

@test "a user that is not there: 2" {
	record --user no-such-user -- /bin/true
	status_is 2
	one_line no-such-user
	nothing_left
}

@test "an output whose folder is missing: 124, the command does not start" {
	trace=$dir/none/t.cowtrace
	record -- touch "$dir/started"
	status_is 124
	one_line "$dir/none"
	[ ! -e "$dir/started" ]
}

@test "an output that is a file of somebody else's: 124, left as it was" {
	echo precious >"$trace"
	record -- touch "$dir/started"
	status_is 124
	one_line "$trace"
	[ "$(cat "$trace")" = precious ]
	[ ! -e "$dir/started" ]
}

@test "an output that is a folder: 124" {
	mkdir "$trace"
	record -- touch "$dir/started"
	status_is 124
	one_line "$trace"
	[ ! -e "$dir/started" ]
}

@test "a trace of an earlier run is replaced" {
	record --quiet -- "$FORKER" 1
	status_is 0
	record --quiet -- "$FORKER" 2
	status_is 0
	[ "$("$COWTRACE" report --format json "$trace" | grep -o '"child_pid"' | wc -l)" = 2 ]
}

@test "a disk that is full from the start: 124, nothing left" {
	[ "$(id -u)" = 0 ] || skip "needs root to mount a small file system"
	mkdir "$dir/full"
	mount -t tmpfs -o size=16k none "$dir/full" || skip "no mount is permitted here"
	head -c 16384 /dev/zero >"$dir/full/ballast"
	trace=$dir/full/t.cowtrace
	record -- touch "$dir/started"
	status_is 124
	one_line "$trace"
	[ ! -e "$dir/started" ]
	[ "$(ls "$dir/full")" = ballast ]
}

@test "a disk that fills up: the command ends well, the trace says it is incomplete" {
	[ "$(id -u)" = 0 ] || skip "needs root to mount a small file system"
	mkdir "$dir/full"
	mount -t tmpfs -o size=512k none "$dir/full" || skip "no mount is permitted here"
	trace=$dir/full/t.cowtrace
	record --engine census -- sh -c "'$FORKER' 3000 && touch '$dir/worked'"
	[ -e "$dir/worked" ]
	status_is 122
	warned space
	run --separate-stderr "$COWTRACE" report --format json "$trace"
	if [ "$status" = 0 ]; then
		[[ "$output" == *'"complete": false'* ]] || [[ "$output" == *'"complete":false'* ]]
	else
		# Not even the first batch fitted: then report says so.
		[ "$status" -ge 3 ]
	fi
}

@test "a static program: 126 and why" {
	record -- "$STATIC_PROGRAM"
	status_is 126
	[ -z "$output" ]
	one_line static
	nothing_left
}

# What the report says of the recording as a whole, in lines that break where
# the length of a pid or a path lets them.
report_says()
{
	run --separate-stderr "$COWTRACE" report "$trace"
	status_is 0
	local said
	said=$(tr -s '[:space:]' ' ' <<<"$output")
	[[ "$said" == *"$1"* ]] || { echo "no \"$1\" in: $output"; return 1; }
}

@test "a static program below the command: it runs, and the report says so" {
	record -- bash -c "'$STATIC_PROGRAM'; '$STATIC_PROGRAM' 4; exit 3"
	status_is 3
	[ "$output" = "static was here
static was here" ]
	report_says "statically linked"
}

@test "a setuid program below the command, as su and sudo are: the report says so" {
	[ "$(id -u)" = 0 ] || skip "needs root to make one"
	cp /bin/true "$dir/become"
	chown 65534 "$dir/become"
	chmod 4755 "$dir/become"
	record -- bash -c "'$dir/become'; '$FORKER' 1"
	status_is 0
	report_says "strips the preload"
}

@test "a setuid program: it runs, 123 and why" {
	[ "$(id -u)" = 0 ] || skip "needs root to make one"
	cp /bin/echo "$dir/setuid"
	chown 65534 "$dir/setuid"
	chmod 4755 "$dir/setuid"
	record -- "$dir/setuid" hello
	[ "$output" = hello ]
	status_is 123
	warned setuid
}

@test "a program that fails keeps its status, recorded or not" {
	record -- sh -c 'exit 7'
	status_is 7
	[ "$(id -u)" = 0 ] || return 0
	cp /bin/false "$dir/setuid"
	chown 65534 "$dir/setuid"
	chmod 4755 "$dir/setuid"
	record -- "$dir/setuid"
	status_is 1
}

@test "a program that is killed: 128 and the signal" {
	record -- sh -c 'kill -9 $$'
	status_is 137
	record -- sh -c 'kill -TERM $$'
	status_is 143
}

@test "standard input, output and error are the command's" {
	run --separate-stderr sh -c "echo in | '$COWTRACE' record -q -o '$trace' -- \
		sh -c 'cat; echo err >&2'"
	status_is 0
	[ "$output" = in ]
	[ "$stderr" = err ]
}

@test "SIGTERM to cowtrace reaches the command" {
	"$COWTRACE" record -q -o "$trace" -- sh -c \
		"trap 'echo got >\"$dir/got\"; exit 3' TERM; : >'$dir/up'; while :; do sleep 0.05; done" &
	pid=$!
	for _ in $(seq 100); do
		[ -e "$dir/up" ] && break
		sleep 0.05
	done
	kill -TERM "$pid"
	status=0
	wait "$pid" || status=$?
	[ "$status" = 3 ]
	[ "$(cat "$dir/got")" = got ]
}

@test "without --quiet: one line of summary, and what to run next" {
	record -- "$FORKER" 3
	status_is 0
	warned "3 forks" "cowtrace report" "$trace"
}

@test "with --quiet: nothing" {
	record --quiet -- "$FORKER" 3
	status_is 0
	[ -z "$stderr" ]
}

@test "without -o: named after the command and the pid" {
	cd "$dir"
	run --separate-stderr "$COWTRACE" record -q -- "$FORKER" 1
	status_is 0
	ls "$dir"/cowtrace-"$(basename "$FORKER")"-[0-9]*.cowtrace
}

# The engine's needs, each taken away by itself.
refuses_uffd()
{
	run --separate-stderr "$@" "$COWTRACE" record --engine uffd -o "$trace" -- touch "$dir/ran"
	status_is 125
	[[ "$stderr" == *"uffd engine cannot run here"*doctor*census* ]]
	[ "$(wc -l <<<"$stderr")" = 1 ]
	[ ! -e "$trace" ] && [ ! -e "$dir/ran" ]
}

@test "--engine uffd without CAP_SYS_PTRACE: 125, and why" {
	[ "$(id -u)" = 0 ] || skip "needs root to give it up"
	refuses_uffd setpriv --bounding-set -sys_ptrace
	[[ "$stderr" == *CAP_SYS_PTRACE* ]]
}

@test "--engine uffd without /dev/userfaultfd: 125, and why" {
	unshare -m true 2>/dev/null || skip "no mount namespace is permitted here"
	cat >"$dir/no-device" <<-'END'
		dev=$(mktemp -d)
		mount -t tmpfs none "$dev"
		cp -a /dev/null /dev/zero /dev/urandom "$dev"
		mkdir "$dev/shm"
		mount --bind /dev/shm "$dev/shm"
		mount --move "$dev" /dev
		rmdir "$dev"
		exec "$@"
	END
	refuses_uffd unshare -m sh "$dir/no-device"
	[[ "$stderr" == *"no /dev/userfaultfd"* ]]
}

@test "--engine uffd with vm.unprivileged_userfaultfd=0: the device does" {
	[ -e /dev/userfaultfd ] || skip "no /dev/userfaultfd"
	[ "$(id -u)" = 0 ] || skip "needs root"
	[ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] || skip "it is not 0 here"
	trace=$dir/t.cowtrace
	run --separate-stderr "$COWTRACE" record --engine uffd --quiet -o "$trace" -- "$FORKER" 2
	status_is 0
	run --separate-stderr "$COWTRACE" report --format json "$trace"
	[[ "$output" == *'"sites"'*'"copies"'* ]]
}
