/* SPDX-License-Identifier: MIT */
/*
 * Folios of 64 KiB are mapped by PTEs: thp_split_pmd never counts them, nor does
 * AnonHugePages.  Unmapping a part puts one on the list of those to be split
 * (split_deferred), MADV_PAGEOUT of a part splits it (split); a write after a
 * fork copies one page and splits nothing.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define KNOB "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/"
#define LEN (16 * PAGE)
#define KPF_COMPOUND (3ULL << 15)
#define TRIES 40

static char saved[64];

static void restore(void)
{
	if (*saved)
		lab_write_text(KNOB "enabled", saved);
}

static void allow(void)
{
	char text[64], *from, *to;

	if (!lab_read_text(KNOB "enabled", text, sizeof(text)))
		lab_skip("this kernel has no folios of 64 KiB for programs (Linux 6.8)");
	lab_sysfs_lock();
	lab_read_text(KNOB "enabled", text, sizeof(text));
	from = strchr(text, '[');
	to = from ? strchr(from, ']') : NULL;
	if (!to)
		lab_die("cannot understand %s", KNOB "enabled");
	*to = '\0';
	strcpy(saved, from + 1);
	atexit(restore);
	if (!lab_write_text(KNOB "enabled", "madvise"))
		lab_skip("%s: %s", KNOB "enabled", strerror(errno));
}

static uint64_t stat_of(const char *name)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "%sstats/%s", KNOB, name);
	return lab_read_text(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

static bool is_large(const char *p)
{
	static int pagemap = -1;
	uint64_t pfn;

	if (pagemap < 0)
		pagemap = lab_pagemap(0);
	pfn = lab_pfn(pagemap, p);
	return pfn && (lab_kflags(pfn) & KPF_COMPOUND);
}

/* A folio of 64 KiB: no unit of 2 MiB has room in its VMA. */
static char *folio_new(void)
{
	char *p = lab_map_huge(1);

	madvise(p, HUGE, MADV_NOHUGEPAGE);
	madvise(p, LEN, MADV_HUGEPAGE);
	lab_fill(p, LEN / PAGE, 1);
	if (!is_large(p) || !is_large(p + LEN - PAGE))
		lab_skip("no folio of 64 KiB to be had");
	return p;
}

static char *dontneed(char *p)
{
	return madvise(p + 2 * PAGE, 2 * PAGE, MADV_DONTNEED) ? NULL : p;
}

static char *page_out(char *p)
{
	return madvise(p + 2 * PAGE, 2 * PAGE, MADV_PAGEOUT) ? NULL : p;
}

static char *write_shared(char *p)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	p[2 * PAGE] = 2;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return p;
}

/* deferred: ANY where the split itself may count as one. */
#define ANY UINT64_MAX

static void folio_check(const char *what, char *(*act)(char *p), uint64_t split, uint64_t deferred,
			bool large)
{
	uint64_t pmd, splits = 0, deferrals = 0;
	char *p = NULL;
	bool ok = false;

	for (int i = 0; i < TRIES && !ok; i++) {
		p = folio_new();
		pmd = lab_vmstat("thp_split_pmd");
		splits = stat_of("split");
		deferrals = stat_of("split_deferred");
		if (!act(p))
			lab_skip("%s: %s", what, strerror(errno));
		splits = stat_of("split") - splits;
		deferrals = stat_of("split_deferred") - deferrals;
		pmd = lab_vmstat("thp_split_pmd") - pmd;
		ok = !pmd && splits == split && (deferred == ANY || deferrals == deferred) &&
		     is_large(p) == large && unit_smaps_kib(p) == 0;
		munmap(p, HUGE);
	}
	printf("%-28s split +%llu, split_deferred +%llu\n", what, (unsigned long long)splits,
	       (unsigned long long)deferrals);
	check(ok, "%s: it is otherwise in %d of %d tries", what, TRIES, TRIES);
}

int main(void)
{
	lab_need_pfns();
	allow();
	folio_check("MADV_DONTNEED of a part", dontneed, 0, 1, true);
	folio_check("MADV_PAGEOUT of a part", page_out, 1, ANY, false);
	folio_check("write while shared", write_shared, 0, 1, true);
	return lab_result();
}
