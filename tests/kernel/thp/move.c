/* SPDX-License-Identifier: MIT */
/*
 * mremap() keeps a huge mapping only where the whole unit goes to an address that is
 * a multiple of 2 MiB too.
 */
#include <sys/mman.h>

#include "unit.h"

/* Room of three units; the first multiple of 2 MiB in it. */
static char *room(void)
{
	char *p = mmap(NULL, 3 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		lab_die("mmap");
	return (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
}

static char *move(char *from, size_t len, char *to)
{
	void *at = mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	return at == MAP_FAILED ? NULL : at;
}

static char *congruent(char *unit)
{
	return move(unit, HUGE, room());
}

static char *not_congruent(char *unit)
{
	return move(unit, HUGE, room() + SMALL);
}

static char *part_away(char *unit)
{
	return move(unit + HUGE / 2, HUGE / 2, room()) ? unit : NULL;
}

static char *shrink(char *unit)
{
	return mremap(unit, HUGE, HUGE - SMALL, 0) == MAP_FAILED ? NULL : unit;
}

int main(void)
{
	unit_check("mremap to a multiple of 2 MiB", congruent, (struct want){ 0, 0, true });
	unit_check("mremap to elsewhere", not_congruent, (struct want){ 1, 0, false });
	unit_check("mremap of a part", part_away, (struct want){ 1, 0, false });
	unit_check("mremap that shrinks", shrink, (struct want){ 1, 0, false });
	return lab_result();
}
