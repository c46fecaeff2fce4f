/* SPDX-License-Identifier: MIT */
/*
 * Registering a whole VMA splits neither it nor a huge page in it, aligned or not;
 * doing it again changes nothing, protection included.  A part of a VMA makes three.
 * A neighbour that is mapped later stays apart until it is registered too; where it was
 * written before that, for ever, even unregistered: it has its own anon_vma by then.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "subject.h"

#define NR 64
#define UNITS 2
#define TAIL 3
#define HUGE_NR (UNITS * 512 + TAIL)

static char *p, *next, *huge;

static char *map_at(char *at, size_t nr)
{
	return mmap(at, nr * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0);
}

static void step(int n)
{
	if (n == 0) {
		/* Its own mapping (one that came by fork merges with no other), guarded. */
		munmap(p, NR * PAGE);
		map_at(p, NR);
		madvise(p, NR * PAGE, MADV_NOHUGEPAGE);
		mprotect(p, PAGE, PROT_NONE);
		mprotect(p + (NR - 1) * PAGE, PAGE, PROT_NONE);
		munmap(next, (NR / 2 - 1) * PAGE);
		lab_fill(p + PAGE, NR / 2 - 1, 1);
		lab_fill(huge, HUGE_NR, 1);
		munmap(huge + HUGE_NR * PAGE, HUGE - TAIL * PAGE);
	} else if (n == 1) {
		munmap(next, (NR / 2 - 1) * PAGE);
		map_at(next, NR / 2 - 1);
		madvise(next, (NR / 2 - 1) * PAGE, MADV_NOHUGEPAGE);
	} else if (n == 2) {
		lab_fill(next, NR / 2 - 1, 1);
	}
}

static void whole(struct subject *s, const char *at, size_t nr)
{
	int before = nr_vmas(s->pid, at, nr);

	check(before == 1, "%d VMAs before", before);
	check(uffd_register(s->uffd, at, nr) == 0, "register");
	check(nr_vmas(s->pid, at, nr) == 1, "%d VMAs registered", nr_vmas(s->pid, at, nr));
	check(uffd_protect(s->uffd, at, nr) == 0, "protect");
	check(uffd_register(s->uffd, at, nr) == 0, "register again");
	check(pages_protected(s->pagemap, at, nr) == nr, "registering again lifted protection");
	check(nr_vmas(s->pid, at, nr) == 1, "%d VMAs", nr_vmas(s->pid, at, nr));
}

static void whole_huge(struct subject *s)
{
	bool was[UNITS];

	for (size_t i = 0; i < UNITS; i++)
		was[i] = page_huge(s->pagemap, huge + i * HUGE);
	if (!was[0])
		printf("no huge page was to be had: not looked at\n");
	whole(s, huge, HUGE_NR);
	for (size_t i = 0; i < UNITS; i++)
		check(page_huge(s->pagemap, huge + i * HUGE) == was[i], "unit %zu was split", i);
}

static void part(struct subject *s, const char *at, size_t nr)
{
	check(uffd_unregister(s->uffd, at, nr) == 0 && nr_vmas(s->pid, at, nr) == 1, "unregister");
	check(pages_protected(s->pagemap, at, nr) == 0, "unregistering left protection");
	check(uffd_register(s->uffd, at + PAGE, nr - 2) == 0, "register a part");
	check(nr_vmas(s->pid, at, nr) == 3, "%d VMAs", nr_vmas(s->pid, at, nr));
	check(uffd_register(s->uffd, at, nr) == 0, "register all");
	check(nr_vmas(s->pid, at, nr) == 1, "%d VMAs after all of it", nr_vmas(s->pid, at, nr));
}

/* written: before it is registered.  nr: how many VMAs it makes of the two. */
static void neighbour(struct subject *s, const char *first, bool written, int nr)
{
	check(uffd_register(s->uffd, first, NR / 2 - 1) == 0, "register");
	subject_step(s, 1);
	if (written)
		subject_step(s, 2);
	check(nr_vmas(s->pid, first, NR - 2) == 2, "%d VMAs with the neighbour",
	      nr_vmas(s->pid, first, NR - 2));
	check(uffd_register(s->uffd, next, NR / 2 - 1) == 0, "register the neighbour");
	check(nr_vmas(s->pid, first, NR - 2) == nr, "%d VMAs, both registered",
	      nr_vmas(s->pid, first, NR - 2));
	subject_step(s, 2);
	check(uffd_unregister(s->uffd, first, NR - 2) == 0, "unregister");
	check(nr_vmas(s->pid, first, NR - 2) == nr, "%d VMAs, none registered",
	      nr_vmas(s->pid, first, NR - 2));
}

int main(void)
{
	struct subject s;
	char *first;

	p = lab_map(NR);
	first = p + PAGE;
	next = p + NR / 2 * PAGE;
	huge = lab_map_huge(UNITS + 1);
	s = subject_serve(step);
	subject_step(&s, 0);
	whole(&s, first, NR / 2 - 1);
	whole_huge(&s);
	part(&s, first, NR / 2 - 1);
	neighbour(&s, first, false, 1);
	neighbour(&s, first, true, 2);
	/* As it is where nobody registers anything. */
	subject_step(&s, 1);
	subject_step(&s, 2);
	check(nr_vmas(s.pid, first, NR - 2) == 1, "%d VMAs without a userfaultfd",
	      nr_vmas(s.pid, first, NR - 2));
	subject_end(&s);
	return lab_result();
}
