/* SPDX-License-Identifier: MIT */
/*
 * A protected page raises SIGBUS with the address at its first write, of any size or
 * kind, before anything of it is written; reading it does not.  A store across two
 * pages raises one for each.  Once released the page is written without a further fault
 * of the kind.  Swapped out and in again, a page is still protected.
 */
#include "uf.h"

#include <stdatomic.h>

static int fd;
static volatile char *p;
static volatile unsigned int nr;
static volatile uintptr_t last;
static char seen[2 * PAGE];

static void on_bus(int sig, siginfo_t *info, void *context)
{
	char *page = (char *)((uintptr_t)info->si_addr & ~(PAGE - 1));

	if (info->si_code != BUS_ADRERR)
		_exit(3);
	nr++;
	last = (uintptr_t)info->si_addr;
	if (nr == 1)
		memcpy(seen, (char *)p, 2 * PAGE);
	uf_protect(fd, page, PAGE, false);
}

static void again(void)
{
	memset((char *)p, 7, 4 * PAGE);
	check(!uf_protect(fd, (char *)p, 4 * PAGE, true), "protect");
	nr = 0;
}

static void before_image(unsigned int faults, const char *what)
{
	check(nr == faults, "%s: %u faults, not %u", what, nr, faults);
	check(seen[0] == 7 && !memcmp(seen, seen + 1, PAGE - 1), "%s: written too early", what);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
	uint64_t word = 0;

	p = uf_map(4 * PAGE, PROT_READ | PROT_WRITE);
	fd = uf_sigbus((char *)p, 4 * PAGE);
	sigaction(SIGBUS, &sa, NULL);

	again();
	check(*p == 7 && !nr, "reading faults");
	p[5] = 1;
	before_image(1, "a byte");
	check(last == (uintptr_t)p + 5, "the address is not exact");
	p[6] = 1;
	check(nr == 1, "a second write faults");

	again();
	__atomic_fetch_add((uint64_t *)p, 1, __ATOMIC_SEQ_CST);
	before_image(1, "an atomic");

	again();
	memset((char *)p + 10, 1, 2 * PAGE);
	before_image(3, "memset over three pages");

	again();
	memcpy((char *)p + PAGE - 4, &word, 8);
	before_image(2, "a store across two pages");

	again();
	madvise((char *)p, 4 * PAGE, MADV_PAGEOUT);
	check(p[PAGE] == 7, "read back");
	check(uf_pagemap((char *)p + PAGE) & PM_WP, "no longer protected after MADV_PAGEOUT");
	p[PAGE] = 1;
	check(nr == 1, "no fault after MADV_PAGEOUT");

	check(uf_protect(fd, (char *)p + PAGE, 16 * PAGE, true) == -ENOENT,
	      "a range not registered");
	return 0;
}
