#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# What a program gets that builds against an installed libcowtrace-report: the
# header alone, C and C++, and the flags of pkg-config; only its own symbols.
# BUILD, GEN_TRACE and SOURCE come from the build.

bats_require_minimum_version 1.5.0

setup()
{
	: "${BUILD:?run this by meson test}"
	dir=$(mktemp -d)
	DESTDIR=$dir/root meson install -C "$BUILD" --no-rebuild --quiet >"$dir/log" 2>&1 || { cat "$dir/log"; return 1; }
	pc=$(find "$dir/root" -name cowtrace-report.pc)
	[ -n "$pc" ]
	prefix=$dir/root$(pkg-config --variable=prefix "$pc")
	libdir=$dir/root$(pkg-config --variable=libdir "$pc")
	flags=$(PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" --cflags --libs cowtrace-report)
}

teardown()
{
	rm -rf "$dir"
}

@test "the example builds against the installed library and reads a trace" {
	gcc -Wall -Wextra -Werror -std=c11 "$SOURCE/examples/read-trace/read-trace.c" $flags -o "$dir/example"
	"$GEN_TRACE" "$dir/t.cowtrace" 3 100
	run env LD_LIBRARY_PATH="$libdir" "$dir/example" "$dir/t.cowtrace"
	[ "$status" = 0 ]
	[ "$(grep -c '^fork ' <<<"$output")" = 3 ]
	run env LD_LIBRARY_PATH="$libdir" "$dir/example" "$dir/none"
	[ "$status" = 1 ] && [[ $output == *"there is no file"* ]]
}

@test "the header stands alone in C and in C++" {
	echo '#include <cowtrace/report.h>' >"$dir/t.h"
	gcc -x c -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$prefix/include" "$dir/t.h"
	clang -x c++ -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$prefix/include" "$dir/t.h"
}

@test "the library exports the header's functions and nothing else" {
	nm -D --defined-only "$libdir/libcowtrace-report.so" | awk '{ print $3 }' | sort >"$dir/exported"
	grep -o 'cowtrace_report_[a-z_]*(' "$prefix/include/cowtrace/report.h" | tr -d '(' | sort -u >"$dir/declared"
	diff "$dir/declared" "$dir/exported"
}

@test "the installed command runs, with its pages and completion" {
	"$prefix/bin/cowtrace" --version
	[ -s "$prefix/share/man/man1/cowtrace-report.1" ] || [ -s "$prefix/share/man/man1/cowtrace-report.1.gz" ]
	bash -n "$prefix/share/bash-completion/completions/cowtrace"
}
