#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The command line itself, and `cowtrace report` on what is a trace and what is
# none: the exit statuses of docs/exit-status.md, one line each.  COWTRACE,
# GEN_TRACE, MAN_PAGES and COMPLETION come from the build.

bats_require_minimum_version 1.5.0

setup()
{
	: "${COWTRACE:?run this by meson test}"
	dir=$(mktemp -d)
	trace=$dir/t.cowtrace
	unset COLUMNS NO_COLOR
}

teardown()
{
	! mountpoint -q "$dir/full" || umount "$dir/full"
	rm -rf "$dir"
}

cowtrace()
{
	run --separate-stderr "$COWTRACE" "$@"
}

# Forks, regions, and "writes" for a trace of the uffd engine.
generate()
{
	"$GEN_TRACE" "$trace" "${1:-5}" "${2:-200}" ${3:+"$3"}
}

# Into a file: bash takes long over a large text.
report_json()
{
	"$COWTRACE" report -f json "$@" "$trace" >"$dir/json"
}

# The status, and one line of cowtrace on stderr that holds every word.
refused()
{
	local want=$1 word
	shift
	[ "$status" = "$want" ] || { echo "status $status, not $want: $stderr"; return 1; }
	[ "$(printf '%s\n' "$stderr" | wc -l)" = 1 ] || { echo "not one line: $stderr"; return 1; }
	[[ $stderr == cowtrace* ]] || { echo "not of cowtrace: $stderr"; return 1; }
	for word; do
		[[ $stderr == *"$word"* ]] || { echo "no \"$word\" in: $stderr"; return 1; }
	done
	[ -z "$output" ] || { echo "stdout: $output"; return 1; }
}

@test "--version and --help" {
	cowtrace --version
	[ "$status" = 0 ] && [[ $output =~ ^cowtrace\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
	cowtrace --help
	[ "$status" = 0 ] && [[ $output == *record* && $output == *report* && $output != *__man* ]]
	for c in doctor record report; do
		cowtrace $c --help
		[ "$status" = 0 ] && [[ $output == "Usage: cowtrace $c"* ]]
	done
}

@test "no command: usage on stderr, status 2" {
	cowtrace
	[ "$status" = 2 ] && [ -z "$output" ] && [[ $stderr == Usage:* ]]
}

@test "a mistyped command or option names the one that was meant" {
	cowtrace reprot
	refused 2 "did you mean 'report'"
	cowtrace frobnicate
	refused 2 "no command 'frobnicate'"
	cowtrace report --formt=json x
	refused 2 "did you mean --format"
	cowtrace report --xyzzy x
	refused 2 "no option --xyzzy"
	cowtrace report -Z x
	refused 2 "no option -Z"
	cowtrace --format json
	refused 2 "comes before any command"
}

@test "bad arguments of options" {
	cowtrace report --format
	refused 2 "--format needs an argument"
	cowtrace report --format yaml x
	refused 2 "text|json" "yaml"
	cowtrace report --top many x
	refused 2 "--top takes a number"
	cowtrace report --top -1 x
	refused 2 "--top takes a number"
	cowtrace report --since soon x
	refused 2 "--since takes a time"
	cowtrace report --since 2 --until 1 x
	refused 2 "later"
	cowtrace report --fork 0 x
	refused 2 "from 1"
	cowtrace report --no-symbols=1 x
	refused 2 "takes no argument"
	cowtrace report
	refused 2 "which trace"
	cowtrace report a b
	refused 2 "one trace"
}

@test "each kind of bad trace has its status" {
	cowtrace report "$dir/none"
	refused 3 "there is no file"
	cowtrace report "$dir"
	refused 4 "folder"
	: >"$trace"
	cowtrace report "$trace"
	refused 5 "is empty"
	echo hello >"$trace"
	cowtrace report "$trace"
	refused 6 "not a cowtrace trace"
	rm "$trace"
	sqlite3 "$trace" 'CREATE TABLE t(a)'
	cowtrace report "$trace"
	refused 6 "not a cowtrace trace"
	rm "$trace"
	generate
	truncate -s 20000 "$trace"
	cowtrace report "$trace"
	refused 7 "truncated"
	generate
	sqlite3 "$trace" 'DROP TABLE sides'
	cowtrace report "$trace"
	refused 7 "damaged"
	generate
	sqlite3 "$trace" 'PRAGMA user_version=99'
	cowtrace report "$trace"
	refused 8 "newer" "update"
}

@test "a trace that may not be read" {
	generate
	chmod 0 "$trace"
	chmod 755 "$dir"
	if [ "$(id -u)" = 0 ]; then
		run --separate-stderr setpriv --reuid=65534 --clear-groups "$COWTRACE" report "$trace"
		# Where the build itself may not be reached by others, this says nothing.
		[ "$status" != 126 ] && [ "$status" != 127 ] || skip "others cannot run the build"
	else
		cowtrace report "$trace"
	fi
	refused 4 "Permission denied"
}

@test "a fork or process that is not there" {
	generate
	cowtrace report --fork 99 "$trace"
	refused 9 "no fork 99" "1 to 5"
	cowtrace report --process 7 "$trace"
	refused 9 "no process 7"
}

@test "output that cannot be written is a failure" {
	generate
	run --separate-stderr bash -c '"$1" report "$2" >/dev/full' - "$COWTRACE" "$trace"
	refused 10 "No space left"
	run --separate-stderr bash -c '"$1" report -f json "$2" >/dev/full' - "$COWTRACE" "$trace"
	refused 10 "No space left"
}

@test "an incomplete trace is reported, and says so first" {
	generate
	sqlite3 "$trace" "UPDATE meta SET value='0' WHERE key='complete';
		UPDATE meta SET value='the disk was full' WHERE key='why_incomplete'"
	cowtrace report "$trace"
	[ "$status" = 0 ]
	[[ $(head -5 <<<"$output") == *"INCOMPLETE: the disk was full"* ]]
	report_json
	[ "$(json 'print(d["complete"], d["why_incomplete"])')" = "False the disk was full" ]
}

# A line of python over the JSON of the last report_json, as d.
json()
{
	python3 -c "import json,sys; d=json.load(sys.stdin); $1" <"$dir/json"
}

@test "nothing recorded: says so and why" {
	generate
	sqlite3 "$trace" 'DELETE FROM forks; DELETE FROM processes; DELETE FROM sides'
	cowtrace report "$trace"
	[ "$status" = 0 ]
	[[ $output == *"No fork was recorded"* && $output == *"static"* ]]
	sqlite3 "$trace" "INSERT INTO notes VALUES(1,0,'error','x','the reason stands here')"
	cowtrace report "$trace"
	[[ $output == *"the reason stands here"* ]]
}

@test "the text: sections, sums, no colour, no line wider than asked" {
	generate 30 600
	for width in 70 100 160; do
		COLUMNS=$width cowtrace report "$trace"
		[ "$status" = 0 ]
		for head in "FORKS BY CALL SITE" "FORKS WITH MOST COPIES" "MEMORY WITH MOST COPIES" "GROWTH" "DOES IT ADD UP" "PROCESSES"; do
			[[ $output == *"$head"* ]] || { echo "no $head"; return 1; }
		done
		[[ $output != *$'\033'* ]]
		[[ $output == *"20 more forks"* ]]
		# Tables fit; the summary's fixed lines may pass a narrow terminal.
		awk -v w="$width" 'length($0) > (w < 90 ? 90 : w) { print; bad = 1 } END { exit bad }' <<<"$output"
		! grep -q ' $' <<<"$output"
	done
	shared=$(sqlite3 "$trace" 'SELECT sum(pages_shared) FROM forks')
	[[ $(tr -d , <<<"$output") == *" $shared pages"* ]]
}

@test "totals that do not add up are told" {
	generate 5 200
	cowtrace report "$trace"
	[[ $output == *"sum up to the total in 10 of 10 sides"* ]]
	sqlite3 "$trace" "UPDATE sides SET copied=copied+1 WHERE fork=3 AND side='child'"
	cowtrace report "$trace"
	[[ $output == *"in 9 of 10 sides: NOT in fork 3"* ]]
}

@test "without page frames nothing is told as exact" {
	generate 3 100
	sqlite3 "$trace" "UPDATE meta SET value='0' WHERE key='page_frames';
		UPDATE forks SET copied_min=256, copied_max=1280"
	cowtrace report "$trace"
	[[ $(tr '\n' ' ' <<<"$output") == *"between 3 MiB and 15 MiB of it"* ]]
	[[ $output != *"parent copied"* && $output != *"by parent"* ]]
	sqlite3 "$trace" "UPDATE forks SET copied_max=NULL WHERE id=2"
	cowtrace report "$trace"
	[[ $output == *"at least 3 MiB of it"* ]]
}

@test "colour on a terminal, unless NO_COLOR" {
	generate
	run script -qec "$COWTRACE report $trace" /dev/null
	[[ $output == *$'\033[1m'* ]]
	NO_COLOR=1 run script -qec "$COWTRACE report $trace" /dev/null
	[[ $output != *$'\033'* ]]
}

@test "names cannot act on the terminal" {
	generate
	sqlite3 "$trace" "UPDATE processes SET comm=char(27)||'[2J'; UPDATE regions SET name=char(27)||'[31m'||char(10)"
	cowtrace report "$trace"
	[ "$status" = 0 ]
	[[ $output != *$'\033'* ]]
}

@test "--fork, --process, --since, --until, --top in JSON" {
	generate 20 400
	report_json
	[ "$(json 'print(len(d["forks"]), len(d["regions"]))')" = "20 400" ]
	report_json --fork 7
	[ "$(json 'print([f["id"] for f in d["forks"]], {r["fork_id"] for r in d["reconcile"]})')" = "[7] {7}" ]
	# Fork n begins at n * 50 ms and is over 900 ms later.
	report_json --until 130ms
	[ "$(json 'print([f["id"] for f in d["forks"]])')" = "[1, 2]" ]
	report_json --since 1.81
	[ "$(json 'print([f["id"] for f in d["forks"]])')" = "[19, 20]" ]
	report_json --process 1003
	[ "$(json 'print([f["child_pid"] for f in d["forks"]])')" = "[1003]" ]
	report_json --top 3
	[ "$(json 'print(len(d["forks"]), len(d["regions"]), d["total"]["forks"])')" = "3 3 20" ]
}

@test "JSON: regions of a fork sum up to its sides" {
	generate 10 300
	report_json
	json '
for f in d["forks"]:
    for side in "parent", "child":
        got = sum(r["copied"] for r in f["regions"] if r["side"] == side)
        assert got == f[side]["copied"], (f["id"], side)
for c in d["reconcile"]:
    if c["copied"] is not None:
        assert c["copied"] == c["attributed"] + sum(c["unattributed"].values())'
}

@test "the queries of docs/trace-schema.md" {
	generate 10 3000
	sed -n '/^## Examples/,$s/^    //p' "$SCHEMA_DOC" >"$dir/sql"
	[ "$(grep -c ';$' "$dir/sql")" = 3 ]
	run sqlite3 "$trace" <"$dir/sql"
	[ "$status" = 0 ]
	# Ten kinds and sides at most; no fork whose regions are not its totals.
	[[ ${lines[0]} =~ ^[a-z_]+\|(parent|child)\|[0-9]+\|[0-9]+$ ]]
	! grep -vE '^[a-z_]+\|(parent|child)\|' <<<"$output"
	sqlite3 "$trace" "UPDATE sides SET copied=copied+1 WHERE fork=3 AND side='child'"
	sqlite3 "$trace" <"$dir/sql" | grep '^3|child|'
}

@test "call sites: the text has them, sorted, of one side, and nothing too wide" {
	generate 20 600 writes
	for width in 80 100 160; do
		COLUMNS=$width cowtrace report "$trace"
		[ "$status" = 0 ]
		for head in "CALL SITES WITH MOST COPIES" "FIRST WRITES OVER TIME" "VERDICTS" "hottest site" "stalled"; do
			[[ $output == *"$head"* ]] || { echo "no $head"; return 1; }
		done
		awk -v w="$width" 'length($0) > (w < 90 ? 90 : w) { print; bad = 1 } END { exit bad }' <<<"$output"
		! grep -q ' $' <<<"$output"
	done
	[[ $output != *"--engine uffd"* && $output != *no_engine* && $output != *unexplained* ]]
	cowtrace report --sort reuses --side child "$trace"
	[[ $output == *"CALL SITES WITH MOST PAGES REUSED, OF THE CHILD"* ]]
	! sed -n '/^CALL SITES/,/^FIRST/p' <<<"$output" | grep ' parent '
	cowtrace report --sort stall "$trace"
	[[ $output == *"THE LONGEST STALL"* ]]
	cowtrace report --top 0 "$trace"
	[ "$(grep -c '  libgen\|  read(2)\|  write(2)' <<<"$output")" -gt 100 ]
	cowtrace report --sort size "$trace"
	refused 2 "copies|bytes|reuses|stall"
}

@test "JSON: sites in the order asked for, and sums that hold" {
	generate 3 150 writes
	for key in copies bytes reuses stall; do
		report_json --sort $key
		json "
key = {'copies': 'copies', 'bytes': 'copied_bytes', 'reuses': 'reuses', 'stall': 'stall_ns'}['$key']
sites = [s for s in d['sites'] if s['side']]
values = [s[key] for s in sites]
assert values == sorted(values, reverse=True) and values[0] > 0
assert len({s['id'] for s in d['sites']}) == len(d['sites'])
w = d['writes']
lost = sum(w['without_stack'].values())
memory = {}
for r in d['site_regions']:
    memory[r['id']] = memory.get(r['id'], 0) + r['first_writes']
for s in sites + [w]:
    assert s['first_writes'] == s['copies'] + s['reuses'] + s['zero_filled'] + s['unknown']
for s in sites:
    assert s['copied_bytes'] == 4096 * s['copies'] and s['frames'] and s['fork_ids']
    assert sum(s['over_time']) == s['first_writes']
    assert memory[s['id']] == s['first_writes']
assert sum(s['first_writes'] for s in sites) + lost == w['first_writes']
a = d['agreement']
assert a['predicted_total'] - a['predicted_equal'] == len(a['disagreements'])
assert a['predicted_total'] + a['unobserved'] + a['uncertain'] == w['faults']
for c in d['reconcile']:
    assert c['copied'] == c['attributed'] + sum(c['unattributed'].values()), c
    assert not {'unexplained', 'no_engine'} & set(c['unattributed'])"
	done
	# The same counts from the tables themselves.
	want=$(sqlite3 "$trace" "SELECT sum(pages) FROM first_writes WHERE observed='copy' AND side='child' AND site=7 AND syscall IS NULL")
	report_json --side child
	[ "$(json 'print([s["copies"] for s in d["sites"] if s["site_id"] == 7 and s["side"] and not s["syscall"]])')" = "[$want]" ]
	[ "$(json 'print({s["side"] for s in d["sites"]} - {None})')" = "{'child'}" ]
}

@test "each disagreement is listed, or counted" {
	generate 1 110 writes
	sqlite3 "$trace" "UPDATE write_kinds SET predicted='reuse', reason='refcount_one' WHERE observed='copy'"
	n=$(sqlite3 "$trace" "SELECT count(*) FROM first_writes WHERE observed='copy'")
	cowtrace report --top 5 "$trace"
	[[ $(tr -d , <<<"$output") == *"... $((n - 5)) more disagreements"* ]]
	cowtrace report --top 0 "$trace"
	[ "$(grep -c 'reuse  *copy  *refcount_one' <<<"$output")" = "$((n < 10000 ? n : 10000))" ]
	report_json
	[ "$(json 'a = d["agreement"]; print(len(a["disagreements"]) + a["disagreements_left_out"])')" = "$n" ]
}

@test "without an engine one line says how call sites are to be had" {
	generate
	cowtrace report "$trace"
	[ "$(grep -c -- '--engine uffd' <<<"$output")" = 1 ]
	[[ $output != *"CALL SITES WITH"* && $output != *VERDICTS* ]]
	report_json
	[ "$(json 'print(d["writes"]["watched"], d["writes"]["copies"], {s["copies"] for s in d["sites"]})')" = "False None {None}" ]
}

@test "a trace from before there were first writes" {
	generate
	report_json
	mv "$dir/json" "$dir/before"
	sqlite3 "$trace" 'DROP VIEW first_writes; DROP TABLE writes; DROP TABLE write_kinds; DROP TABLE unattributed'
	report_json
	cmp "$dir/json" "$dir/before"
	cowtrace report "$trace"
	[ "$status" = 0 ]
}

@test "writes that cannot be make a trace damaged" {
	generate 3 200 writes
	sqlite3 "$trace" 'UPDATE writes SET kind=9999 WHERE rowid=10'
	cowtrace report "$trace"
	refused 7 "row 10 of table writes"
}

@test "a report leaves the trace and its folder as they were" {
	generate
	before=$(sha256sum "$trace"; ls -lA --time-style=full-iso "$dir")
	cowtrace report "$trace"
	[ "$before" = "$(sha256sum "$trace"; ls -lA --time-style=full-iso "$dir")" ]
}

@test "man pages: every option of the tables, no warnings" {
	for page in $MAN_PAGES; do
		[ -s "$page" ]
		! grep -q '@OPTIONS\|@COMMANDS' "$page"
		if command -v man >/dev/null; then
			run man --warnings -l "$page"
			[[ $output != *warning* ]]
		fi
	done
	# Each command of the list has its page.
	for c in $("$COWTRACE" --help | sed -n 's/^  \([a-z]*\)   *[a-z].*/\1/p'); do
		page=$(tr ' ' '\n' <<<"$MAN_PAGES" | grep "cowtrace-$c.1$")
		for option in $("$COWTRACE" $c --help | grep -o -- '^ .*--[a-z-]*' | grep -o -- '--[a-z-]*$'); do
			grep -q -- "$(sed 's/-/\\\\-/g' <<<"$option")" "$page" || { echo "no $option in $page"; return 1; }
		done
	done
}

@test "completion: commands, options, values" {
	complete_line()
	{
		bash -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _cowtrace; echo "${COMPREPLY[@]}"' \
			- "$COMPLETION" "$@"
	}
	[[ $(complete_line cowtrace re) == "record report" ]]
	[[ $(complete_line cowtrace report --fo) == "--format --fork" ]]
	[[ $(complete_line cowtrace report --format j) == "json" ]]
	[[ $(complete_line cowtrace report --sort "") == "copies bytes reuses stall" ]]
	[[ $(complete_line cowtrace record --engine "") == "auto uffd perf census" ]]
	[[ $(complete_line cowtrace do) == "doctor" ]]
	touch "$dir/x.cowtrace"
	[[ $(complete_line cowtrace report "$dir/x") == "$dir/x.cowtrace" ]]
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

@test "every kind of report is what its schema says" {
	n=0
	for kind in "1 100" "2 110 writes" "3 120"; do
		rm -f "$trace"
		generate $kind
		for options in "" "--top 3" "--fork 1" "--sort stall --side child"; do
			report_json $options || continue
			mv "$dir/json" "$dir/$((++n)).json"
		done
	done
	[ "$n" -ge 9 ]
	python3 "$(dirname "$SCHEMA_DOC")/../tests/lib/schema.py" report "$dir"/*.json "$GOLDEN"/golden*.json
}
