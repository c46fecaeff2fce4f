#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# `cowtrace policy`: what it answers, and what it refuses and how.  COWTRACE and
# SCENARIOS come from the build.

bats_require_minimum_version 1.5.0

setup()
{
	: "${COWTRACE:?run this by meson test}"
	seed003=$SCENARIOS/thp_seed003.play
}

policy()
{
	run --separate-stderr "$COWTRACE" policy "$@"
}

refused()
{
	local word
	[ "$status" = 2 ] || { echo "status $status: $stderr"; return 1; }
	[ "$(printf '%s\n' "$stderr" | wc -l)" = 1 ] || { echo "not one line: $stderr"; return 1; }
	[ -z "$output" ] || { echo "an answer all the same: $output"; return 1; }
	for word; do
		[[ $stderr == *"$word"* ]] || { echo "no \"$word\": $stderr"; return 1; }
	done
}

# json FILTER: the value, by python, of the last output.  Starting python is most of
# what these tests cost: once for each output, and without its site packages.
json()
{
	python3 -IS -c 'import json, sys; d = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' \
		"$output" "$1"
}

@test "list names every generation, in both formats" {
	policy list
	[ "$status" = 0 ]
	[[ $output == *"g3        5.9 to 5.17"* ]]
	policy list --format json
	[ "$(json 'len(d["models"]), sum(m["shipped"] for m in d["models"])')" = "(13, 10)" ]
}

@test "compare answers why a page was copied on 5.10 and not on 6.18" {
	policy compare --state mapcount=1,swapcache --format json
	[ "$(json '[(m["verdict"], m["reason"]) for m in d["models"] if m["model"] in ("g3", "g6")]')" = \
		"[('copy', 'swapcache_ref'), ('reuse', 'refcount_one')]" ]
}

@test "explain shows the conditions in order, to the one that decides" {
	policy explain --model 5.10 --state mapcount=1,refcount=2,swapcache --format json
	[ "$status" = 0 ]
	[ "$(json 'd["model"], d["verdict"], d["reason"], sum(s["holds"] == "yes" for s in d["steps"])')" = \
		"('g3', 'copy', 'swapcache_ref', 1)" ]
	[ "$(json '[d["steps"][-1][k] for k in ("input", "value", "holds")]')" = "['refcount', 2, 'yes']" ]
}

@test "explain says what an unknown input would decide" {
	policy explain --model g6 --state 'refcount=?' --format json
	[ "$(json 'd["verdict"], d["decides"], d["likely"]')" = "('uncertain', 'refcount', 'reuse')" ]
}

@test "play: the case of seed 003 by three generations" {
	policy play "$seed003" --model 5.10 --format json
	[ "$(json '[(s["reuse"], s["copy"], s["split"]) for s in d["steps"]][3:]')" = \
		"[(0, 1, 1), (0, 1, 0), (0, 0, 0), (0, 1, 0), (1, 508, 0)]" ]
	policy play "$seed003" --model 6.18 --format json
	[ "$(json 'd["steps"][-1]["reuse"], d["steps"][-1]["reasons"]')" = \
		"(509, {'large_exclusive': 509})" ]
	policy play "$seed003" --model g1 --format json
	[ "$(json 'sum(s["copied_huge"] for s in d["steps"])')" = 1 ]
}

@test "play reads stdin, and plays by all" {
	run --separate-stderr sh -c '"$COWTRACE" policy play - --all --format json <"$1"' sh "$seed003"
	[ "$status" = 0 ]
	[ "$(json 'len(d["models"])')" = 13 ]
}

@test "probe finds a generation, with evidence" {
	policy probe --format json
	[ "$status" = 0 ]
	[ "$(json '(d["model"] in "g1 g2 g2-split g3 g4 g5 g5-late g5-zero g6 g6b".split(), len(d["evidence"]))')" = \
		"(True, 7)" ]
}

@test "impossible states are refused with a sentence" {
	policy explain --model g6 --state mapcount=2,refcount=1
	refused "no kernel can be in this state" "mapcount above refcount"
	policy compare --state exclusive,ksm
	refused "never exclusive"
	policy compare --state order=9,refcount=3
	refused "above refcount"
	policy compare --state pmd,addr=0x250000,vma_start=0x200000,vma_end=0x300000
	refused "a huge page does not fit"
}

@test "unknown names get the nearest one" {
	policy explain --model g5-lat --state mapcount=1
	refused 'did you mean "g5-late"?'
	policy compare --state mapcuont=1
	refused 'did you mean "mapcount"?'
	policy lsit
	refused "did you mean 'list'?"
	policy
	refused "say which"
	policy explain --model g6
	refused "--state"
	policy list twice
	refused "one word too many"
}

@test "bad scenarios are refused by line" {
	for bad in 'wriet P A 0|did you mean "write"?' 'write P A 0|there is no process "P"' \
		'map P A 8 5k|is no kind of memory' 'map P A x 4k|is no number' 'map P A|it has 5 to 5'; do
		run --separate-stderr sh -c 'echo "$1" | "$COWTRACE" policy play - --model g6' sh "${bad%%|*}"
		refused "stdin:1:" "${bad#*|}"
	done
	run --separate-stderr sh -c 'printf "map P A 8 4k\nwrite P A 0-8\n" | "$COWTRACE" policy play - -m g6'
	[[ $stderr == *"stdin:2: page range 0-8 leaves the region"* ]]
	policy play /nonexistent --model g6
	refused "No such file"
}
