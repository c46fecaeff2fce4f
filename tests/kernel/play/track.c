/* SPDX-License-Identifier: MIT */
/*
 * Those who want to know of writes: userfaultfd, PAGEMAP_SCAN and soft-dirty bits, as
 * a played process sets them on itself.  A thread of its own is the monitor: it lets
 * the one page go that a write waits for.
 *
 * Invariant: the monitor touches nothing but its own stack.
 */
#include "play.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Younger than the headers that this is built with. */
#define FEATURE_WP_UNPOPULATED (1ULL << 13)
#define FEATURE_WP_ASYNC (1ULL << 15)

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN _IOWR('f', 16, struct scan_arg)
#define SCAN_WP_MATCHING 1
#define SCAN_CHECK_WPASYNC 2
#define PAGE_IS_WRITTEN 2

static int uffd = -1;

/* Forked, or new: what the parent watched is not watched here. */
void track_settle(void)
{
	if (uffd >= 0)
		close(uffd);
	uffd = -1;
}

static void let_go(unsigned long addr)
{
	struct uffdio_writeprotect wp = { .range = { addr & ~(PAGE - 1), PAGE } };

	ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

static void *monitor(void *arg)
{
	struct uffd_msg msg;

	(void)arg;
	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg))
		if (msg.event == UFFD_EVENT_PAGEFAULT)
			let_go(msg.arg.pagefault.address);
	return NULL;
}

static int start(bool async)
{
	struct uffdio_api api = { .api = UFFD_API };
	pthread_t thread;

	api.features =
		async ? FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED : UFFD_FEATURE_PAGEFAULT_FLAG_WP;
	uffd = syscall(__NR_userfaultfd, O_CLOEXEC);
	if (uffd < 0)
		return errno;
	if (ioctl(uffd, UFFDIO_API, &api))
		return EOPNOTSUPP;
	if (async)
		return 0;
	return pthread_create(&thread, NULL, monitor, NULL);
}

int track_uffd(const struct region *r, int mode)
{
	struct uffdio_register reg = { .range = { r->addr, r->nr * PAGE },
				       .mode = UFFDIO_REGISTER_MODE_WP };
	int rc = 0;

	if (!mode)
		return ioctl(uffd, UFFDIO_UNREGISTER, &reg.range) ? errno : 0;
	if (uffd < 0)
		rc = start(mode == 2);
	if (!rc && ioctl(uffd, UFFDIO_REGISTER, &reg))
		rc = errno;
	return rc;
}

int track_wp(unsigned long addr, size_t len, bool on)
{
	struct uffdio_writeprotect wp = { .range = { addr, len },
					  .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp) ? errno : 0;
}

/* What was written since the last scan is found, and marked anew. */
int track_scan(int pagemap, unsigned long addr, size_t len)
{
	uint64_t regions[3 * 64];
	struct scan_arg arg = {
		.size = sizeof(arg),
		.flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
		.start = addr,
		.end = addr + len,
		.vec = (uintptr_t)regions,
		.vec_len = 64,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};

	for (; arg.start < arg.end; arg.start = arg.walk_end)
		if (ioctl(pagemap, SCAN, &arg) < 0)
			return errno;
	return 0;
}

int track_clear_dirty(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return errno;
	if (write(fd, "4", 1) != 1)
		rc = errno;
	close(fd);
	return rc;
}
