/* SPDX-License-Identifier: MIT */
/*
 * One unit, what is done to it, and what the kernel says of it then.
 * Invariant: a check that fails once proves nothing, for others split pages too.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../census/scan.h"

#define TRIES 40

bool unit_is_huge(const char *at)
{
	static int pagemap = -1;
	static pid_t of;

	/* A forked child would read its parent's. */
	if (of != getpid()) {
		pagemap = lab_pagemap(0);
		of = getpid();
	}
	return scan_page(pagemap, at) & SCAN_HUGE;
}

uint64_t unit_smaps_kib(const char *at)
{
	unsigned long long start, end, kib, sum = 0;
	uint64_t from = (uintptr_t)at;
	bool ours = false;
	char line[512];
	FILE *f = fopen("/proc/self/smaps", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
			ours = start < from + HUGE && end > from;
		else if (ours && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
			sum += kib;
	}
	if (f)
		fclose(f);
	return sum;
}

char *unit_new(void)
{
	char *p;

	/* Memory may be short for a moment. */
	for (int i = 0; i < 50; i++) {
		p = lab_map_huge(1);
		lab_fill(p, 512, 1);
		if (unit_is_huge(p))
			return p;
		munmap(p, HUGE);
		usleep(20000);
	}
	lab_skip("no huge pages to be had now");
}

static bool fits(const char *what, char *(*act)(char *unit), struct want want, bool tell)
{
	char *unit = unit_new(), *at;
	uint64_t pmd, page, kib;
	bool huge, ok;

	if (unit_smaps_kib(unit) != HUGE / 1024)
		lab_die("AnonHugePages does not know of a huge page");
	page = lab_vmstat("thp_split_page");
	pmd = lab_vmstat("thp_split_pmd");
	at = act(unit);
	if (!at)
		lab_skip("%s: %s", what, strerror(errno));
	pmd = lab_vmstat("thp_split_pmd") - pmd;
	page = lab_vmstat("thp_split_page") - page;
	huge = unit_is_huge(at);
	kib = unit_smaps_kib(at);
	ok = pmd == want.split_pmd && page == want.split_page && huge == want.huge &&
	     kib == (want.huge ? HUGE / 1024 : 0);
	if (ok || tell)
		printf("%-40s thp_split_pmd +%llu, thp_split_page +%llu, %s, AnonHugePages %llu "
		       "KiB\n",
		       what, (unsigned long long)pmd, (unsigned long long)page,
		       huge ? "huge" : "small", (unsigned long long)kib);
	munmap(unit, HUGE);
	return ok;
}

void unit_check(const char *what, char *(*act)(char *unit), struct want want)
{
	for (int i = 1; i < TRIES; i++)
		if (fits(what, act, want, false))
			return;
	check(fits(what, act, want, true), "%s: wanted +%llu, +%llu, %s", what,
	      (unsigned long long)want.split_pmd, (unsigned long long)want.split_page,
	      want.huge ? "huge" : "small");
}
