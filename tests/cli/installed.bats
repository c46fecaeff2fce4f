#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What `meson install` puts somewhere works from there: the command, and both
# libraries for programs that know nothing but pkg-config.

bats_require_minimum_version 1.5.0

setup_file()
{
	: "${SOURCE:?run this by meson test}"
	export prefix=$BATS_FILE_TMPDIR/prefix
	meson setup -Dtests=false --prefix "$prefix" --libdir lib "$BATS_FILE_TMPDIR/build" "$SOURCE" \
		>"$BATS_FILE_TMPDIR/log" 2>&1 &&
		meson install -C "$BATS_FILE_TMPDIR/build" >>"$BATS_FILE_TMPDIR/log" 2>&1 ||
		{ tail -n 50 "$BATS_FILE_TMPDIR/log"; return 1; }
	# Nothing may be left over from the build folder.
	rm -rf "$BATS_FILE_TMPDIR/build"
	export PKG_CONFIG_PATH=$prefix/lib/pkgconfig LD_LIBRARY_PATH=$prefix/lib
}

compile()
{
	# shellcheck disable=SC2046
	cc -std=gnu11 -Wall -Wextra -Werror -o "$BATS_FILE_TMPDIR/$1" "$BATS_FILE_TMPDIR/$1.c" \
		$(pkg-config --cflags --libs "$2")
}

program()
{
	cat >"$BATS_FILE_TMPDIR/program.c" <<-'END'
		#include <cowtrace/trace.h>
		#include <stdlib.h>
		#include <sys/mman.h>
		#include <sys/wait.h>
		#include <unistd.h>

		int main(void)
		{
			size_t len = 64 * 4096;
			char *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			int status = 0;

			for (size_t i = 0; i < len; i += 4096)
				p[i] = 1;
			cowtrace_region_tag(p, len, "cache");
			cowtrace_phase("serve");
			if (!fork()) {
				for (size_t i = 0; i < len / 2; i += 4096)
					p[i] = 2;
				exit(0);
			}
			wait(&status);
			return status;
		}
	END
	compile program cowtrace
}

reader()
{
	cat >"$BATS_FILE_TMPDIR/reader.c" <<-'END'
		#include <cowtrace/report.h>
		#include <stdio.h>
		#include <string.h>

		int main(int argc, char **argv)
		{
			char why[COWTRACE_REPORT_WHY_LEN];
			struct cowtrace_report *r;

			if (argc < 2 || cowtrace_report_open(argv[1], NULL, &r, why)) {
				puts(why);
				return 1;
			}
			for (size_t i = 0; i < cowtrace_report_nr_forks(r); i++)
				printf("phase %s\n", cowtrace_report_fork(r, i)->phase);
			for (size_t i = 0; i < cowtrace_report_nr_regions(r); i++) {
				const struct cowtrace_region *g = cowtrace_report_region(r, i);

				if (!strcmp(g->name, "cache"))
					printf("cache %d pages\n", (int)((g->end - g->start) / 4096));
			}
			cowtrace_report_close(r);
			return 0;
		}
	END
	compile reader cowtrace-report
}

@test "the installed command says its version" {
	run "$prefix/bin/cowtrace" --version
	[ "$status" = 0 ]
}

@test "a program that links libcowtrace runs untraced" {
	program
	run "$BATS_FILE_TMPDIR/program"
	[ "$status" = 0 ]
}

@test "and is recorded by the installed command, its tag and phase seen" {
	run "$prefix/bin/cowtrace" record -q -o "$BATS_FILE_TMPDIR/t.cowtrace" -- \
		"$BATS_FILE_TMPDIR/program"
	echo "$output"
	[ "$status" = 0 ]
	run "$prefix/bin/cowtrace" report --format json "$BATS_FILE_TMPDIR/t.cowtrace"
	[ "$status" = 0 ]
	[[ "$output" == *'"name":"cache"'* ]]
}

@test "a program that links libcowtrace-report reads the trace" {
	reader
	run "$BATS_FILE_TMPDIR/reader" "$BATS_FILE_TMPDIR/t.cowtrace"
	echo "$output"
	[ "$status" = 0 ]
	[[ "$output" == *"phase serve"* ]]
	[[ "$output" == *"cache 64 pages"* ]]
}

@test "the man pages are there" {
	for page in cowtrace cowtrace-record cowtrace-report; do
		[ -s "$prefix/share/man/man1/$page.1" ]
	done
}
