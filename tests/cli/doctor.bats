#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# cowtrace doctor: its answer where something is taken away, and that `record`
# finds the same.  COWTRACE comes from the build.

bats_require_minimum_version 1.5.0

setup()
{
	: "${COWTRACE:?run this by meson test}"
	dir=$(mktemp -d)
	chmod 755 "$dir"
}

teardown()
{
	rm -rf "$dir"
}

# The status, the answer in the first line, and one line of the thing, with its word.
answer()
{
	local want=$1 word=$2 thing=$3 first
	[ "$status" = "$want" ] || { echo "status $status, not $want: $output"; return 1; }
	case $want in
	0) first="can run here: " ;;
	3) first="cannot run here" ;;
	4) first="can run here and will tell less" ;;
	esac
	[[ ${lines[0]} == *"$first"* ]] || { echo "answer: ${lines[0]}"; return 1; }
	[ "$(grep -c "^  $word *$thing  " <<<"$output")" = 1 ] || { echo "no $word $thing: $output"; return 1; }
	! grep -vE '^(The uffd|Linux|$|  (ok|less|NO)  )' <<<"$output"
}

needs_engine()
{
	"$COWTRACE" doctor -q || skip "the engine does not run whole here: $("$COWTRACE" doctor | grep '^  [lN]' | head -1)"
}

@test "the answer, and quiet" {
	run "$COWTRACE" doctor
	said=$status
	[[ $said == [034] ]]
	[ "$(grep -cE '^  (ok|less|NO)' <<<"$output")" -ge 9 ]
	# The worst line is the answer.
	if grep -q '^  NO' <<<"$output"; then answer 3 ok signal
	elif grep -q '^  less' <<<"$output"; then [ "$status" = 4 ]
	else answer 0 ok signal; fi
	run "$COWTRACE" doctor --quiet
	[ "$status" = "$said" ] && [ -z "$output" ]
	run "$COWTRACE" doctor now
	[ "$status" = 2 ]
}

@test "the model is the one that policy probe finds" {
	model=$("$COWTRACE" doctor | sed -n 's/^  ok *policy model *\([a-z0-9-]*\),.*/\1/p')
	[ -n "$model" ] || skip "the probe is not certain here"
	"$COWTRACE" policy probe | grep -qw "$model"
}

@test "no CAP_SYS_PTRACE" {
	needs_engine
	run setpriv --bounding-set=-sys_ptrace "$COWTRACE" doctor
	answer 3 NO CAP_SYS_PTRACE
	run setpriv --bounding-set=-sys_ptrace "$COWTRACE" record --engine uffd -o "$dir/t" -- true
	[ "$status" = 125 ] || [ "$status" = 124 ]
	[[ $output == *"cowtrace doctor"* ]]
}

@test "no device" {
	needs_engine
	run unshare -m sh -c 'mount -t tmpfs none /dev && exec "$1" doctor' - "$COWTRACE"
	answer 3 NO /dev/userfaultfd
	[[ $output == *"--device"* ]]
}

@test "a device that is something else" {
	needs_engine
	run unshare -m sh -c 'mount --bind /dev/null /dev/userfaultfd && exec "$1" doctor' - "$COWTRACE"
	answer 3 NO /dev/userfaultfd
}

@test "an ordinary user" {
	needs_engine
	run setpriv --reuid=65534 --clear-groups "$COWTRACE" doctor
	[ "$status" != 126 ] && [ "$status" != 127 ] || skip "others cannot run the build"
	answer 3 NO /dev/userfaultfd
	answer 3 NO CAP_SYS_PTRACE
	answer 3 less "page frames"
	[[ $output == *"user 65534"* ]]
}

@test "a user namespace: the capability is not the one that counts" {
	needs_engine
	run unshare -Ur "$COWTRACE" doctor
	[[ $output != unshare:* ]] || skip "no user namespaces here"
	answer 3 NO CAP_SYS_PTRACE
	[[ $output == *"user namespace"* ]]
}

@test "page frames hidden: it runs, and tells less" {
	needs_engine
	run setpriv --bounding-set=-sys_admin "$COWTRACE" doctor
	answer 4 less "page frames"
	answer 4 less /proc/kpageflags
}

@test "a signal that cannot come" {
	needs_engine
	run bash -c 'trap "" 62; exec "$1" doctor' - "$COWTRACE"
	answer 4 less signal
	run prlimit --sigpending=0 "$COWTRACE" doctor
	answer 4 less signal
}

@test "the sysctl does not matter" {
	needs_engine
	[ -e /proc/sys/vm/unprivileged_userfaultfd ] || skip "no such sysctl here"
	exec 9>/tmp/cowtrace-sysfs.lock
	flock 9
	was=$(cat /proc/sys/vm/unprivileged_userfaultfd)
	for v in 0 1; do
		echo $v >/proc/sys/vm/unprivileged_userfaultfd
		run "$COWTRACE" doctor
		said[v]=$status
		[[ $output == *"unprivileged_userfaultfd is $v;"* ]] || bad=1
	done
	echo "$was" >/proc/sys/vm/unprivileged_userfaultfd
	exec 9>&-
	[ -z "$bad" ] && [ "${said[0]}" = 0 ] && [ "${said[1]}" = 0 ]
}
