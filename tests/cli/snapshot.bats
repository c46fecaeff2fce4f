#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# Snapshots for a program that knows nothing but the installed headers and pkg-config:
# the program of README.md, that of the manual page, C and C++, and what the libraries
# export.  BUILD and SOURCE come from the build.

bats_require_minimum_version 1.5.0

setup_file()
{
	: "${BUILD:?run this by meson test}"
	export dir=$BATS_FILE_TMPDIR
	DESTDIR=$dir/root meson install -C "$BUILD" --no-rebuild --quiet >"$dir/log" 2>&1 || { cat "$dir/log"; return 1; }
	pc=$(dirname "$(find "$dir/root" -name cowtrace.pc)")
	export PKG_CONFIG_PATH=$pc prefix
	prefix=$dir/root$(pkg-config --variable=prefix cowtrace)
	export LD_LIBRARY_PATH=$dir/root$(pkg-config --variable=libdir cowtrace)
}

flags()
{
	pkg-config --define-variable=prefix="$prefix" --cflags --libs "$1"
}

# The program of thirty lines, as it stands in the README.
readme_program()
{
	awk '/^```c$/ { p = 1; next } /^```$/ { p = 0 } p' "$SOURCE/README.md"
}

@test "the README's program snapshots a jemalloc heap while it mutates, and proves it" {
	pkg-config --exists cowtrace-jemalloc || skip "built without jemalloc"
	readme_program >"$dir/readme.c"
	[ "$(wc -l <"$dir/readme.c")" -le 32 ]
	# shellcheck disable=SC2046
	cc -Wall -Wextra -Werror -std=gnu11 "$dir/readme.c" -o "$dir/readme" $(flags cowtrace-jemalloc) -pthread
	run "$dir/readme" "$dir/dump"
	echo "$output"
	[ "$status" = 0 ]
	[ "$(stat -c %s "$dir/dump")" = $((64 << 20)) ]
}

@test "and so for an ordinary user" {
	pkg-config --exists cowtrace-jemalloc || skip "built without jemalloc"
	[ "$(id -u)" = 0 ] || skip "is one already"
	chmod 755 "$dir" "$dir/.." "$dir/../.." 2>/dev/null || true
	mkdir -m 777 "$dir/user"
	cp "$dir/readme" "$dir/user/"
	run setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \
		env LD_LIBRARY_PATH="$LD_LIBRARY_PATH" "$dir/user/readme" "$dir/user/dump"
	echo "$output"
	[ "$status" = 0 ]
}

@test "the manual page's program" {
	awk '/^#include <cowtrace\/snapshot.h>$/ { p = 1 } /^\.fi/ { p = 0 } p' \
		"$SOURCE/docs/man/cowtrace_snapshot.3" | sed 's/\\\\/\\/g' >"$dir/man.c"
	# shellcheck disable=SC2046
	cc -Wall -Wextra -Werror -std=gnu11 "$dir/man.c" -o "$dir/man" $(flags cowtrace)
	run "$dir/man"
	[ "$output" = "first, then second" ]
}

@test "the manual page is installed, and is right in form" {
	[ -s "$prefix/share/man/man3/cowtrace_snapshot.3" ] || [ -s "$prefix/share/man/man3/cowtrace_snapshot.3.gz" ]
	command -v groff >/dev/null || skip "no groff"
	run groff -man -Tutf8 -ww -z "$SOURCE/docs/man/cowtrace_snapshot.3"
	[ -z "$output" ]
}

@test "the headers stand alone in C and in C++" {
	for header in snapshot jemalloc; do
		echo "#include <cowtrace/$header.h>" >"$dir/t.h"
		gcc -x c -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$prefix/include" "$dir/t.h"
		clang -x c++ -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$prefix/include" "$dir/t.h"
	done
}

# exported LIBRARY; declared HEADER...
exported()
{
	nm -D --defined-only "$LD_LIBRARY_PATH/$1" | awk '$2 != "A" { sub("@.*", "", $3); print $3 }' | sort
}

declared()
{
	for header in "$@"; do
		sed -e 's,/\*.*\*/,,' -e '/^[[:space:]]*\*/d' -e '/^[[:space:]]*\/\*/d' "$prefix/include/cowtrace/$header.h"
	done | grep -v 'static inline' | grep -o 'cowtrace_[a-z0-9_]*(' | tr -d '(' | sort -u
}

@test "libcowtrace exports what its headers declare, and nothing else" {
	exported libcowtrace.so >"$dir/exported"
	declared snapshot policy trace | grep -v cowtrace_field_is_flag >"$dir/declared"
	diff "$dir/declared" "$dir/exported"
	if [ -e "$LD_LIBRARY_PATH/libcowtrace-jemalloc.so" ]; then
		exported libcowtrace-jemalloc.so >"$dir/exported"
		declared jemalloc >"$dir/declared"
		diff "$dir/declared" "$dir/exported"
	fi
}

@test "every function of the headers is in the manual page" {
	for name in $(declared snapshot jemalloc); do
		grep -q "$name" "$SOURCE/docs/man/cowtrace_snapshot.3" || { echo "$name"; false; }
	done
}
