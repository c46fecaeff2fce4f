/* SPDX-License-Identifier: MIT */
/*
 * munmap() and MADV_DONTNEED of a part split the mapping; the huge page itself stays
 * one until memory is short.  Of the whole unit they split nothing.
 */
#include <sys/mman.h>

#include "unit.h"

static char *unmap_head(char *unit)
{
	return munmap(unit, SMALL) ? NULL : unit + SMALL;
}

static char *unmap_middle(char *unit)
{
	return munmap(unit + SMALL, SMALL) ? NULL : unit;
}

static char *unmap_tail(char *unit)
{
	return munmap(unit + HUGE - SMALL, SMALL) ? NULL : unit;
}

static char *unmap_whole(char *unit)
{
	return munmap(unit, HUGE) ? NULL : unit;
}

static char *dontneed(char *unit)
{
	return madvise(unit + SMALL, SMALL, MADV_DONTNEED) ? NULL : unit;
}

static char *dontneed_whole(char *unit)
{
	return madvise(unit, HUGE, MADV_DONTNEED) ? NULL : unit;
}

/* Anything mapped over a part takes it away. */
static char *map_over(char *unit)
{
	void *at = mmap(unit + SMALL, SMALL, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			0);

	return at == MAP_FAILED ? NULL : unit;
}

int main(void)
{
	unit_check("munmap of the head", unmap_head, (struct want){ 1, 0, false });
	unit_check("munmap of the middle", unmap_middle, (struct want){ 1, 0, false });
	unit_check("munmap of the tail", unmap_tail, (struct want){ 1, 0, false });
	unit_check("munmap of all", unmap_whole, (struct want){ 0, 0, false });
	unit_check("MADV_DONTNEED of a part", dontneed, (struct want){ 1, 0, false });
	unit_check("MADV_DONTNEED of all", dontneed_whole, (struct want){ 0, 0, false });
	unit_check("mmap(MAP_FIXED) over a part", map_over, (struct want){ 1, 0, false });
	return lab_result();
}
