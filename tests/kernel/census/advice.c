/* SPDX-License-Identifier: MIT */
/*
 * What moves or drops pages without a write.
 *
 *   mremap            the page keeps its PFN at its new address, shared or not
 *   MADV_DONTNEED,    drop it: nothing there; the other side keeps its page
 *   munmap
 *   DONTFORK          the child has no such VMA
 *   WIPEONFORK        the child has the VMA and none of its pages
 *   MADV_FREE         the page stays, same PFN; of a page that is shared by fork
 *                     nothing is freed; the next write takes the advice back
 *   mprotect          changes no PFN
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lab.h"

#define NR 16

static int self;

static void step(int n)
{
	(void)n;
}

static void pfns(int fd, const char *p, uint64_t *ret)
{
	for (size_t i = 0; i < NR; i++)
		ret[i] = lab_pfn(fd, p + i * PAGE);
}

static char *filled(uint64_t *ret)
{
	char *p = lab_map(NR);

	lab_fill(p, NR, 1);
	lab_drain();
	pfns(self, p, ret);
	return p;
}

static bool same(int fd, const char *p, const uint64_t *want)
{
	uint64_t have[NR];

	pfns(fd, p, have);
	return memcmp(have, want, sizeof(have)) == 0;
}

static bool none(int fd, const char *p)
{
	static const uint64_t nothing[NR];

	return same(fd, p, nothing);
}

static void moves(void)
{
	uint64_t was[NR];
	char *p = filled(was), *q, *place = lab_map(NR);
	struct lab_child c;

	q = mremap(p, NR * PAGE, NR * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
	check(q == place && same(self, q, was), "mremap changed a PFN");
	c = lab_child_start(step);
	p = lab_map(NR);
	q = mremap(place, NR * PAGE, NR * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p);
	check(q == p && same(self, p, was), "mremap of shared pages changed a PFN");
	check(same(c.pagemap, place, was), "the child's pages went with the parent's mremap");
	mprotect(p, NR * PAGE, PROT_READ);
	mprotect(p, NR * PAGE, PROT_READ | PROT_WRITE);
	check(same(self, p, was), "mprotect changed a PFN");
	lab_child_end(&c);
}

static void drops(void)
{
	uint64_t was_p[NR], was_q[NR];
	char *p = filled(was_p), *q = filled(was_q);
	struct lab_child c = lab_child_start(step);

	madvise(p, NR * PAGE, MADV_DONTNEED);
	munmap(q, NR * PAGE);
	check(none(self, p), "pages are left after MADV_DONTNEED");
	check(none(self, q), "pages are left after munmap");
	check(same(c.pagemap, p, was_p) && same(c.pagemap, q, was_q),
	      "the child lost or changed a page that the parent dropped");
	p[0] = 1;
	check(lab_pfn(self, p) != was_p[0], "a new page after MADV_DONTNEED is the shared one");
	lab_child_end(&c);
}

static void fork_advice(void)
{
	uint64_t was[NR];
	char *p = filled(was), *q = filled(was);
	struct lab_child c;
	char maps[64], path[64];

	madvise(p, NR * PAGE, MADV_DONTFORK);
	madvise(q, NR * PAGE, MADV_WIPEONFORK);
	c = lab_child_start(step);
	check(none(c.pagemap, p), "the child has DONTFORK pages");
	check(none(c.pagemap, q), "the child has WIPEONFORK pages");
	check(same(self, q, was), "WIPEONFORK took the parent's pages");
	snprintf(path, sizeof(path), "/proc/%d/map_files/%lx-%lx", (int)c.pid, (unsigned long)p,
		 (unsigned long)p + NR * PAGE);
	check(!lab_read_text(path, maps, sizeof(maps)), "the child has the DONTFORK mapping");
	lab_child_end(&c);
}

static void lazy_free(void)
{
	uint64_t was[NR], was_alone[NR];
	char *p = filled(was), *q = filled(was_alone);
	struct lab_child c = lab_child_start(step);

	/* Pages shared by fork are passed over. */
	check(madvise(p, NR * PAGE, MADV_FREE) == 0, "no MADV_FREE");
	check(same(self, p, was) && same(c.pagemap, p, was), "MADV_FREE took a shared page");
	madvise(p, NR * PAGE, MADV_PAGEOUT);
	check(same(self, p, was) && p[0] == 1, "reclaim took a shared page");
	lab_child_end(&c);
	/* Alone again, but not exclusive before the next write: take them. */
	lab_fill(q, NR, 2);
	lab_drain();
	pfns(self, q, was_alone);
	madvise(q, NR * PAGE, MADV_FREE);
	check(same(self, q, was_alone), "MADV_FREE moved or dropped a page at once");
	lab_fill(q, NR / 2, 3);
	check(same(self, q, was_alone), "a write after MADV_FREE gave another page");
	lab_drain();
	madvise(q, NR * PAGE, MADV_PAGEOUT);
	check(lab_pfn(self, q) == was_alone[0] && q[0] == 3, "a page written since was taken");
	printf("MADV_FREE and reclaim: %s\n", lab_pfn(self, q + (NR - 1) * PAGE)
						      ? "page still there (reclaim did not take it)"
						      : "page dropped: nothing there");
}

int main(void)
{
	lab_need_pfns();
	self = lab_pagemap(0);
	moves();
	drops();
	fork_advice();
	lazy_free();
	return lab_result();
}
