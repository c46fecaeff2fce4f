/* SPDX-License-Identifier: MIT */
/*
 * A huge page is protected and released as one, and stays huge; releasing one of its
 * small pages splits it.  A range never touched gets page tables by being protected,
 * and no huge page from then on; with the huge zero page there it does (newer kernels)
 * or gets small pages, but is protected in any case.
 */
#include "uf.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

static int fd;
static volatile unsigned int nr;
static volatile size_t unit;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	nr++;
	uf_protect(fd, (char *)((uintptr_t)info->si_addr & ~(unit - 1)), unit, false);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
	char *const m = uf_map(4 * HUGE, PROT_READ | PROT_WRITE);
	volatile char *const p = m;

	sigaction(SIGBUS, &sa, NULL);
	madvise(m, 4 * HUGE, MADV_HUGEPAGE);
	memset(m, 1, 2 * HUGE);
	if (uf_smaps(m, "AnonHugePages:") != 2 * 2048)
		skip("no huge pages are to be had here");
	fd = uf_sigbus(m, 4 * HUGE);
	check(!uf_protect(fd, m, 2 * HUGE, true), "protect");
	check(uf_smaps(m, "AnonHugePages:") == 2 * 2048, "protecting splits");
	unit = HUGE;
	p[5 * PAGE] = 2;
	p[9 * PAGE] = 2;
	check(nr == 1 && uf_smaps(m, "AnonHugePages:") == 2 * 2048, "released as one: %u faults",
	      nr);
	unit = PAGE;
	p[HUGE] = 2;
	p[HUGE + PAGE] = 2;
	check(nr == 3, "each small page has its own protection: %u faults", nr);
	check(uf_smaps(m, "AnonHugePages:") == 2048, "a small release does not split");

	/* Never touched: markers. */
	check(!uf_protect(fd, m + 2 * HUGE, HUGE, true), "protect");
	unit = HUGE;
	nr = 0;
	p[2 * HUGE] = 1;
	check(nr == 1 && uf_smaps(m, "AnonHugePages:") == 2048, "a huge page over markers");

	/* Never touched: the zero page first. */
	madvise(m + 3 * HUGE, HUGE, MADV_POPULATE_READ);
	check(!uf_protect(fd, m + 3 * HUGE, HUGE, true), "protect");
	nr = 0;
	p[3 * HUGE] = 1;
	check(nr == 1, "a write over the huge zero page");
	printf("a write over the protected huge zero page gives %s\n",
	       uf_smaps(m, "AnonHugePages:") == 2 * 2048 ? "a huge page" : "small pages");
	return 0;
}
