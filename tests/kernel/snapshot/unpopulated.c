/* SPDX-License-Identifier: MIT */
/*
 * With WP_UNPOPULATED (Linux 6.4) pages that were never touched are protected too: the
 * first write faults, and finds zeros; a read maps the zero page and leaves the
 * protection.  Without it the first write is lost.  MADV_DONTNEED takes the protection
 * away: who drops pages must say so to the snapshots.
 */
#include "uf.h"

static int fd;
static volatile unsigned int nr;
static volatile char seen;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	char *page = (char *)((uintptr_t)info->si_addr & ~(PAGE - 1));

	nr++;
	seen = page[0];
	uf_protect(fd, page, PAGE, false);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
	char *const m = uf_map(8 * PAGE, PROT_READ | PROT_WRITE);
	volatile char *const p = m;
	char *const n = uf_map(8 * PAGE, PROT_READ | PROT_WRITE);
	volatile char *const q = n;

	sigaction(SIGBUS, &sa, NULL);
	fd = uf_sigbus(m, 8 * PAGE);
	check(!uf_protect(fd, m, 8 * PAGE, true), "protect");
	p[0] = 1;
	check(nr == 1 && seen == 0 && p[0] == 1, "a page never touched: %u faults", nr);
	check(p[PAGE] == 0 && nr == 1, "a read of a page never touched");
	p[PAGE] = 1;
	check(nr == 2, "a write after such a read");
	check(!uf_protect(fd, m, 8 * PAGE, true), "protect");
	madvise(m, 2 * PAGE, MADV_DONTNEED);
	nr = 0;
	p[0] = 1;
	check(nr == 0, "a dropped page is still protected: it need not be told of");
	close(fd);

	fd = uf_open(UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_SIGBUS);
	check(fd >= 0 && !uf_register(fd, n, 8 * PAGE, UFFDIO_REGISTER_MODE_WP), "register");
	check(!uf_protect(fd, n, 8 * PAGE, true), "protect");
	q[0] = 1;
	check(nr == 0, "no feature, and yet a fault");
	/* What the library does then: map the zero page first. */
	check(q[PAGE] == 0, "zero");
	check(!uf_protect(fd, n, 8 * PAGE, true), "protect");
	q[PAGE] = 1;
	check(nr == 1, "a protected zero page");
	return 0;
}
