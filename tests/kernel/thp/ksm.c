/* SPDX-License-Identifier: MIT */
/*
 * KSM takes a huge page apart, and with it its mapping, where one page of it is the
 * same as another page.  Where none is, the unit stays as it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

#define KSM "/sys/kernel/mm/ksm/"

static const char *const knobs[] = { KSM "run", KSM "pages_to_scan", KSM "sleep_millisecs" };
static char saved[3][32];

static void restore(void)
{
	for (int i = 2; i >= 0; i--)
		lab_write_text(knobs[i], saved[i]);
}

static void start_ksm(void)
{
	lab_sysfs_lock();
	for (int i = 0; i < 3; i++)
		if (!lab_read_text(knobs[i], saved[i], sizeof(saved[i])))
			lab_skip("no KSM in this kernel");
	atexit(restore);
	lab_write_text(knobs[1], "4000");
	lab_write_text(knobs[2], "10");
	if (!lab_write_text(knobs[0], "1"))
		lab_skip("KSM cannot be switched on");
}

/* No two pages of both units alike, but for those that are made so. */
static void fill(char *unit, uint64_t tag)
{
	for (uint64_t i = 0; i < 512; i++)
		memcpy(unit + i * PAGE, &(uint64_t[]){ tag << 32 | (i + 1), (uint64_t)getpid() },
		       16);
}

static uint64_t full_scans(void)
{
	char text[32];

	return lab_read_text(KSM "full_scans", text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

int main(void)
{
	char *alike = unit_new(), *other = unit_new(), *single = lab_map(1);
	uint64_t pmd, page, scans;

	start_ksm();
	fill(alike, 1);
	fill(other, 2);
	memcpy(single, alike + 9 * PAGE, PAGE);
	check(unit_is_huge(alike) && unit_is_huge(other), "a unit was lost before KSM came");
	pmd = lab_vmstat("thp_split_pmd");
	page = lab_vmstat("thp_split_page");
	scans = full_scans();
	if (madvise(alike, HUGE, MADV_MERGEABLE) || madvise(other, HUGE, MADV_MERGEABLE) ||
	    madvise(single, PAGE, MADV_MERGEABLE))
		lab_skip("MADV_MERGEABLE is refused");
	check(unit_is_huge(alike) && unit_is_huge(other), "MADV_MERGEABLE of all lost a unit");
	/* A page is merged at the third look at the latest. */
	for (int i = 0; i < 600 && (unit_is_huge(alike) || full_scans() < scans + 4); i++)
		usleep(50000);
	pmd = lab_vmstat("thp_split_pmd") - pmd;
	page = lab_vmstat("thp_split_page") - page;
	printf("merged: thp_split_pmd +%llu, thp_split_page +%llu; the unit is %s, the other %s\n",
	       (unsigned long long)pmd, (unsigned long long)page,
	       unit_is_huge(alike) ? "huge" : "small", unit_is_huge(other) ? "huge" : "small");
	check(!unit_is_huge(alike) && pmd >= 1 && page >= 1, "the unit with an equal page stays");
	check(unit_is_huge(other), "the unit without equal pages was lost");
	return lab_result();
}
