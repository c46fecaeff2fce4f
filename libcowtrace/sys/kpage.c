/* SPDX-License-Identifier: MIT */
/*
 * Readers of /proc/kpageflags and /proc/kpagecount: arrays of u64 by PFN, for
 * root.  What a bit is worth on which kernel is kcaps's and the policy's matter.
 *
 * Invariant: both fds are open, or both are -1.
 */
#include "sys/kpage.h"

#include <errno.h>
#include <fcntl.h>

int ct_kpage_open(struct ct_kpage *k)
{
	ct_auto_fd int flags = -1;
	ct_auto_fd int count = -1;

	*k = (struct ct_kpage){ .flags_fd = -1, .count_fd = -1 };
	flags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (flags < 0)
		return -errno;
	count = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	if (count < 0)
		return -errno;
	k->flags_fd = ct_take_fd(&flags);
	k->count_fd = ct_take_fd(&count);
	return 0;
}

void ct_kpage_close(struct ct_kpage *k)
{
	if (!k)
		return;
	ct_fd_put(&k->flags_fd);
	ct_fd_put(&k->count_fd);
	*k = (struct ct_kpage){ .flags_fd = -1, .count_fd = -1 };
}

static ssize_t kpage_read(int fd, u64 pfn, size_t nr, u64 *ret)
{
	ssize_t n;

	if (fd < 0)
		return -EACCES;
	do
		n = pread(fd, ret, nr * sizeof(*ret), (off_t)(pfn * sizeof(*ret)));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n / (ssize_t)sizeof(*ret);
}

ssize_t ct_kpage_flags(const struct ct_kpage *k, u64 pfn, size_t nr, u64 *ret_flags)
{
	return kpage_read(k->flags_fd, pfn, nr, ret_flags);
}

ssize_t ct_kpage_counts(const struct ct_kpage *k, u64 pfn, size_t nr, u64 *ret_counts)
{
	return kpage_read(k->count_fd, pfn, nr, ret_counts);
}
