/* SPDX-License-Identifier: MIT */
/*
 * The calls of userfaultfd, one function each.  No policy: what to protect, when to
 * try again and whom to wake is the caller's business.
 *
 * Invariant: an error tells one thing.  Where the kernel has one number for two
 * causes (no memory, and memory that is gone), we ask it a second question.
 */
#include "sys/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "sys/uapi.h"

int ct_uffd_open_dev(int *ret_fd)
{
	int fd = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int ct_uffd_create(int dev, int *ret_fd)
{
	int fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* With user faults only, everybody may have one of his own. */
static int create_any(int *ret_fd)
{
	long fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	ct_auto_fd int dev = -1;

	if (fd < 0)
		fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0) {
		*ret_fd = (int)fd;
		return 0;
	}
	if (ct_uffd_open_dev(&dev) < 0)
		return errno == ENOSYS ? -ENOTSUP : -errno;
	return ct_uffd_create(dev, ret_fd);
}

int ct_uffd_features(u64 *ret_features)
{
	struct uffdio_api api = { .api = UFFD_API };
	ct_auto_fd int fd = -1;
	int r = create_any(&fd);

	if (r < 0)
		return r;
	/* Asked for nothing, the kernel answers with all that it has. */
	if (ioctl(fd, UFFDIO_API, &api) < 0)
		return -errno;
	*ret_features = api.features;
	return 0;
}

int ct_uffd_api(int fd, u64 *ret_missing)
{
	struct uffdio_api api = { .api = UFFD_API, .features = CT_UFFD_FEATURES };
	u64 have;

	if (ioctl(fd, UFFDIO_API, &api) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	/* A feature too many, or a second time. */
	if (ct_uffd_features(&have) < 0)
		have = CT_UFFD_FEATURES;
	else if ((have & CT_UFFD_FEATURES) == CT_UFFD_FEATURES)
		return -EINVAL;
	*ret_missing = CT_UFFD_FEATURES & ~have;
	return -ENOTSUP;
}

/*
 * Has the memory gone?  Register and unregister say ENOMEM then.  UFFDIO_CONTINUE is
 * for shared memory: it looks for the memory first, and leaves private pages alone.
 */
static bool is_gone(int fd, u64 start)
{
	struct uffdio_continue arg = { .range = { .start = start, .len = CT_PAGE_SIZE } };

	return ioctl(fd, UFFDIO_CONTINUE, &arg) < 0 && errno == ESRCH;
}

int ct_uffd_register_wp(int fd, u64 start, u64 len)
{
	struct uffdio_register arg = {
		.range = { .start = start, .len = len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	if (ioctl(fd, UFFDIO_REGISTER, &arg) == 0)
		return 0;
	if (errno == ENOMEM)
		return is_gone(fd, start) ? -ESRCH : -ENOMEM;
	return -errno;
}

int ct_uffd_unregister(int fd, u64 start, u64 len)
{
	struct uffdio_range arg = { .start = start, .len = len };

	if (ioctl(fd, UFFDIO_UNREGISTER, &arg) == 0)
		return 0;
	if (errno == ENOMEM)
		return is_gone(fd, start) ? -ESRCH : -ENOMEM;
	return -errno;
}

static int write_protect(int fd, u64 start, u64 len, u64 mode)
{
	struct uffdio_writeprotect arg = {
		.range = { .start = start, .len = len },
		.mode = mode,
	};

	return ioctl(fd, UFFDIO_WRITEPROTECT, &arg) < 0 ? -errno : 0;
}

int ct_uffd_protect(int fd, u64 start, u64 len)
{
	return write_protect(fd, start, len, UFFDIO_WRITEPROTECT_MODE_WP);
}

int ct_uffd_unprotect(int fd, u64 start, u64 len, bool wake)
{
	return write_protect(fd, start, len, wake ? 0 : UFFDIO_WRITEPROTECT_MODE_DONTWAKE);
}

int ct_uffd_wake(int fd, u64 start, u64 len)
{
	struct uffdio_range arg = { .start = start, .len = len };

	return ioctl(fd, UFFDIO_WAKE, &arg) < 0 ? -errno : 0;
}

int ct_uffd_read(int fd, struct uffd_msg *v, size_t nr)
{
	ssize_t n;

	do
		n = read(fd, v, nr * sizeof(*v));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (int)((size_t)n / sizeof(*v));
}

int ct_uffd_pending(int fd, u64 *ret_nr)
{
	char path[64], text[512];
	ct_auto_fd int info = -1;
	const char *at;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -errno;
	n = read(info, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	at = strstr(text, "\npending:");
	if (!at)
		return -ENOTSUP;
	*ret_nr = strtoull(at + sizeof("\npending:") - 1, NULL, 10);
	return 0;
}
