/* SPDX-License-Identifier: MIT */
/*
 * A merge by KSM takes the uffd-wp bit away and sends nothing; the write that later
 * copies the merged page out sends nothing either.  (One page of all keeps its frame,
 * which the others are given, and its bit: that one is told.)  So protected pages that
 * lose their bit without a message must be looked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"

#define NR 200
#define KSM "/sys/kernel/mm/ksm/"

static const char *const knobs[] = { KSM "run", KSM "pages_to_scan", KSM "sleep_millisecs" };
static char saved[3][32];
static char *p;

static void step(int n)
{
	if (n == 0) {
		for (size_t i = 0; i < NR; i++)
			memset(p + i * PAGE, 7, PAGE);
	} else if (n == 1) {
		if (madvise(p, NR * PAGE, MADV_MERGEABLE) < 0)
			lab_die("MADV_MERGEABLE");
	} else if (n == 2) {
		lab_fill(p, NR, 2);
	}
}

static void restore(void)
{
	for (int i = 2; i >= 0; i--)
		lab_write_text(knobs[i], saved[i]);
}

static void start_ksm(void)
{
	lab_sysfs_lock();
	for (int i = 0; i < 3; i++) {
		if (!lab_read_text(knobs[i], saved[i], sizeof(saved[i])))
			lab_skip("no KSM in this kernel");
	}
	atexit(restore);
	lab_write_text(knobs[1], "1000");
	lab_write_text(knobs[2], "10");
	if (!lab_write_text(knobs[0], "1"))
		lab_skip("KSM cannot be switched on");
}

/* Pages of ours that have the frame of another one. */
static size_t merged(struct subject *s)
{
	size_t nr = 0;

	for (size_t i = 0; i < NR; i++)
		nr += lab_kcount(lab_pfn(s->pagemap, p + i * PAGE)) > 1;
	return nr;
}

static void judge(struct subject *s)
{
	uint64_t was[NR];
	size_t nr, kept, copied = 0;

	for (int i = 0; i < 100 && merged(s) < NR; i++)
		usleep(100000);
	nr = merged(s);
	check(nr == NR, "%zu of %d pages were merged", nr, NR);
	kept = pages_protected(s->pagemap, p, NR);
	check(kept <= 1, "%zu merged pages have their bit", kept);
	check(!uffd_readable(s->uffd, 0), "a message of the merge");
	lab_write_text(knobs[0], "0");
	lab_entries(s->pagemap, p, NR, was);
	subject_tell(s, 2);
	for (; kept > 0; kept--) {
		const char *at = (char *)uffd_next(s->uffd).arg.pagefault.address;

		check(uffd_lift(s->uffd, at - (uintptr_t)at % PAGE, 1, true) == 0, "lift");
	}
	check(subject_done(s, 10000), "the writes do not go on");
	for (size_t i = 0; i < NR; i++)
		copied += lab_pfn(s->pagemap, p + i * PAGE) != (was[i] & PM_PFN);
	check(copied == NR, "%zu of %d were copied", copied, NR);
	check(!uffd_readable(s->uffd, 0), "a message of the copy");
}

int main(void)
{
	struct subject s;

	lab_need_pfns();
	p = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	uffd_arm(s.uffd, p, NR);
	subject_step(&s, 1);
	check(pages_protected(s.pagemap, p, NR) == NR, "MADV_MERGEABLE lifted protection");
	start_ksm();
	judge(&s);
	subject_end(&s);
	return lab_result();
}
