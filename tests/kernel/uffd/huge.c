/* SPDX-License-Identifier: MIT */
/*
 * Units that a PMD maps:
 *
 *   protected and lifted as 2 MiB they stay so; protecting or lifting 4 KiB of one
 *   splits the mapping, and the other 511 pages keep what they had;
 *   exclusive, lifted as 2 MiB: one message, the unit stays, later writes are free;
 *   shared by fork, lifted at 4 KiB: one message for each page written, and all
 *   are seen; the other side stays huge;
 *   shared, lifted as 2 MiB: the kernel splits it at the write all the same, and
 *   the other 511 first writes go unseen.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "subject.h"

#define UNITS 4
#define WRITES 64 /* pages of a unit, every eighth */

enum { CHILD };

static char *p;

static void step(int n)
{
	pid_t pid;

	if (n == -1)
		return;
	if (n == 0) {
		lab_fill(p, UNITS * 512, 1);
	} else if (n == 1) {
		pid = fork();
		if (pid == 0)
			for (;;)
				pause();
		shared[CHILD] = (uint64_t)pid;
	} else {
		for (size_t i = 0; i < WRITES; i++)
			p[(size_t)(n - 2) * HUGE + i * 8 * PAGE] = 2;
	}
}

static void need_huge(struct subject *s)
{
	for (size_t i = 0; i < UNITS; i++) {
		if (!page_huge(s->pagemap, p + i * HUGE))
			lab_skip("no huge pages to be had now");
	}
}

/* Lets it write into unit u, lifting nr_pages at a time; how many messages. */
static int write_unit(struct subject *s, size_t u, size_t nr_pages)
{
	int nr = 0;

	subject_tell(s, 2 + (int)u);
	while (!subject_done(s, 0)) {
		struct uffd_msg m;
		uint64_t at;

		if (!uffd_readable(s->uffd, 1))
			continue;
		m = uffd_next(s->uffd);
		at = m.arg.pagefault.address & ~(nr_pages * PAGE - 1);
		check(uffd_lift(s->uffd, (void *)(uintptr_t)at, nr_pages, true) == 0, "lift");
		nr++;
	}
	return nr;
}

static void whole_and_part(struct subject *s)
{
	check(uffd_lift(s->uffd, p, 512, true) == 0, "lift 2 MiB");
	check(page_huge(s->pagemap, p) && pages_protected(s->pagemap, p, 512) == 0, "2 MiB");
	check(uffd_protect(s->uffd, p, 512) == 0, "protect 2 MiB");
	check(page_huge(s->pagemap, p) && pages_protected(s->pagemap, p, 512) == 512, "2 MiB");
	check(uffd_lift(s->uffd, p + 7 * PAGE, 1, true) == 0, "lift 4 KiB");
	check(!page_huge(s->pagemap, p), "a lift of 4 KiB keeps the unit");
	check(pages_protected(s->pagemap, p, 512) == 511 &&
		      !page_protected(s->pagemap, p + 7 * PAGE),
	      "%zu of the others are protected", pages_protected(s->pagemap, p, 512));
	check(uffd_lift(s->uffd, p + HUGE, 512, true) == 0, "lift 2 MiB");
	check(uffd_protect(s->uffd, p + HUGE + PAGE, 1) == 0, "protect 4 KiB");
	check(!page_huge(s->pagemap, p + HUGE), "a protection of 4 KiB keeps the unit");
	check(pages_protected(s->pagemap, p + HUGE, 512) == 1, "4 KiB");
}

static void exclusive(struct subject *s)
{
	int nr = write_unit(s, 2, 512);

	check(nr == 1, "%d messages", nr);
	check(page_huge(s->pagemap, p + 2 * HUGE), "an exclusive unit was split");
	check(uffd_protect(s->uffd, p + 2 * HUGE, 512) == 0, "protect");
}

static void by_fork(struct subject *s)
{
	int child, pagemap, nr;

	subject_tell(s, 1);
	child = uffd_next_fork(s->uffd);
	check(subject_done(s, 10000), "fork");
	pagemap = lab_pagemap((pid_t)shared[CHILD]);
	for (size_t u = 2; u < UNITS; u++) {
		check(page_huge(pagemap, p + u * HUGE) && page_huge(s->pagemap, p + u * HUGE) &&
			      pages_protected(pagemap, p + u * HUGE, 512) == 512,
		      "after fork unit %zu is not huge and protected", u);
	}
	nr = write_unit(s, 2, 1);
	check(nr == WRITES, "lifted at 4 KiB: %d messages for %d pages", nr, WRITES);
	check(pages_protected(s->pagemap, p + 2 * HUGE, 512) == 512 - WRITES, "what is left");
	nr = write_unit(s, 3, 512);
	check(nr == 1, "lifted as 2 MiB: %d messages", nr);
	for (size_t u = 2; u < UNITS; u++) {
		check(!page_huge(s->pagemap, p + u * HUGE), "a write left the shared unit huge");
		check(page_huge(pagemap, p + u * HUGE), "the child's unit was split");
	}
	close(child);
	close(pagemap);
}

int main(void)
{
	struct subject s;

	p = lab_map_huge(UNITS);
	s = subject_serve(step);
	subject_step(&s, 0);
	need_huge(&s);
	uffd_arm(s.uffd, p, UNITS * 512);
	for (size_t i = 0; i < UNITS; i++)
		check(page_huge(s.pagemap, p + i * HUGE), "arming split unit %zu", i);
	whole_and_part(&s);
	exclusive(&s);
	by_fork(&s);
	subject_end(&s);
	return lab_result();
}
