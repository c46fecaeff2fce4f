/* SPDX-License-Identifier: MIT */
/*
 * What works here, by trying it on a page and a child of our own.  It says what
 * the kernel shows, not what a caller should do about it.
 *
 * Invariant: whatever fails leaves its field false; no state outlives the probe.
 */
#include "sys/kcaps.h"

#include <linux/sched.h>
#include <poll.h>
#include <sys/wait.h>

#include "base/rawsys.h"
#include "sys/kpage.h"
#include "sys/pagemap.h"
#include "sys/pidfd.h"
#include "sys/uapi.h"

/* A private page that has not been touched and is not part of a larger folio; NULL: none. */
static volatile char *page_map(void)
{
	char *p = mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, CT_PAGE_SIZE, MADV_NOHUGEPAGE);
	return p;
}

static void page_unmap(volatile char *p)
{
	munmap((void *)p, CT_PAGE_SIZE);
}

static u64 page_entry(int pagemap, const volatile char *p)
{
	u64 e = 0;

	return ct_pagemap_read(pagemap, ct_page_of((uintptr_t)p), 1, &e) == 1 ? e : 0;
}

static void probe_scan(int pagemap, const volatile char *p, struct ct_kcaps *caps)
{
	struct ct_scan_run run;
	u64 start = (uintptr_t)p, next;

	caps->pagemap_scan =
		ct_pagemap_scan_anon(pagemap, start, start + CT_PAGE_SIZE, &run, 1, &next) == 1 &&
		run.start == start && run.end == start + CT_PAGE_SIZE;
}

static void probe_kpage(u64 pfn, struct ct_kcaps *caps)
{
	struct ct_kpage k;
	u64 flags, count;

	if (!pfn || ct_kpage_open(&k) < 0)
		return;
	if (ct_kpage_flags(&k, pfn, 1, &flags) == 1 && ct_kpage_counts(&k, pfn, 1, &count) == 1) {
		caps->kpage = (flags & CT_KPF_ANON) && count == 1;
		caps->anon_exclusive = flags & CT_KPF_ANON_EXCLUSIVE;
		/* Nobody can have merged a page that was written a moment ago. */
		caps->ksm_flag_lies = flags & CT_KPF_KSM;
	}
	ct_kpage_close(&k);
}

static void probe_page(struct ct_kcaps *caps)
{
	volatile char *p = page_map();
	ct_auto_fd int pagemap = -1;
	u64 e;

	if (!p)
		return;
	if (ct_pagemap_open(getpid(), &pagemap) == 0) {
		(void)*p;
		caps->zero_pfn = page_entry(pagemap, p) & CT_PM_PFN_MASK;
		*p = 1;
		e = page_entry(pagemap, p);
		caps->pfns = (e & CT_PM_PRESENT) && (e & CT_PM_PFN_MASK);
		probe_scan(pagemap, p, caps);
		probe_kpage(e & CT_PM_PFN_MASK, caps);
	}
	page_unmap(p);
}

/*
 * PIDFD_GET_INFO exists since 6.13 and ignores what it does not know, so only a
 * child that has gone tells.  No exit signal: the caller's SIGCHLD handler and
 * its wait loops never hear of the child.
 */
static void probe_exit_info(struct ct_kcaps *caps)
{
	struct pidfd_info info = { .mask = PIDFD_INFO_EXIT };
	ct_auto_fd int pidfd = -1;
	long pid = ct_sys5(SYS_clone, CLONE_PIDFD, 0, &pidfd, 0, 0);

	if (pid == 0) {
		ct_sys1(SYS_exit_group, 7);
		__builtin_unreachable();
	}
	if (pid < 0) {
		pidfd = -1;
		return;
	}
	/* Exit information appears when the child is reaped. */
	while (ct_sys4(SYS_wait4, pid, 0, __WALL, 0) == -4 /* EINTR */)
		;
	if (ioctl(pidfd, PIDFD_GET_INFO, &info) == 0)
		caps->pidfd_exit_info = (info.mask & PIDFD_INFO_EXIT) && info.exit_code == 7 << 8;
}

void ct_kcaps_probe(struct ct_kcaps *ret)
{
	struct ct_kcaps caps = { 0 };

	probe_page(&caps);
	probe_exit_info(&caps);
	*ret = caps;
}
