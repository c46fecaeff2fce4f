/* SPDX-License-Identifier: MIT */
/*
 * The userfaultfd of a heap: opened in the best way that this user is allowed, and
 * its ioctls by raw system calls.
 *
 * Three ways lead to one.  The system call, with kernel faults: for who has
 * CAP_SYS_PTRACE, or where vm.unprivileged_userfaultfd is 1.  /dev/userfaultfd (Linux
 * 6.1): for whom its permissions let in.  UFFD_USER_MODE_ONLY (5.11): for everybody.
 *
 * What holds always: a descriptor that is given out has completed UFFDIO_API.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "base/rawsys.h"
#include "snapshot/uffd.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

static int uffd_ioctl(int fd, unsigned long request, void *arg)
{
	return (int)ct_sys3(SYS_ioctl, fd, request, arg);
}

/* One that serves kernel faults too, or the reason why not. */
static int open_full(void)
{
	ct_auto_fd int dev = -1;
	long fd = ct_sys1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd != -EPERM)
		return (int)fd;
	dev = (int)ct_sys4(SYS_openat, AT_FDCWD, "/dev/userfaultfd", O_RDWR | O_CLOEXEC, 0);
	if (dev < 0)
		return -EPERM;
	return (int)ct_sys3(SYS_ioctl, dev, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
}

static int open_any(bool user_only, bool *ret_kernel)
{
	int fd = user_only ? -EPERM : open_full();

	*ret_kernel = fd >= 0;
	/* EINVAL: before 5.11 there was no such flag, and no need of it. */
	if (fd < 0)
		fd = (int)ct_sys1(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	return fd == -ENOSYS ? -ENOTSUP : fd;
}

/* The kernel refuses a set with one feature that it lacks: what has it? */
static int api(int fd, u64 need, u64 want, u64 *ret_features)
{
	struct uffdio_api query = { .api = UFFD_API, .features = need | want };
	int err = uffd_ioctl(fd, UFFDIO_API, &query);

	for (u64 bit = 1; err == -EINVAL && bit && bit <= want; bit <<= 1) {
		/* A refused call may be repeated; take away one wish at a time. */
		if (!(want & bit))
			continue;
		want &= ~bit;
		query = (struct uffdio_api){ .api = UFFD_API, .features = need | want };
		err = uffd_ioctl(fd, UFFDIO_API, &query);
	}
	if (err)
		return err == -EINVAL ? -ENOTSUP : err;
	*ret_features = need | want;
	return 0;
}

int ct_snap_uffd_open(u64 need, u64 want, bool user_only, struct ct_snap_uffd *ret)
{
	ct_auto_fd int fd = -1;
	u64 features = 0;
	bool kernel;
	int err;

	fd = open_any(user_only, &kernel);
	if (fd < 0)
		return fd == -EINVAL ? -ENOTSUP : fd;
	err = api(fd, need, want, &features);
	if (err)
		return err;
	ret->fd = ct_take_fd(&fd);
	ret->kernel_faults = kernel;
	ret->features = features;
	return 0;
}

int ct_snap_uffd_register(int fd, void *addr, size_t len, u64 mode)
{
	struct uffdio_register r = { .range = { (u64)(uintptr_t)addr, len }, .mode = mode };
	int err = uffd_ioctl(fd, UFFDIO_REGISTER, &r);

	if (err)
		return err;
	if ((mode & UFFDIO_REGISTER_MODE_WP) && !(r.ioctls & 1ULL << _UFFDIO_WRITEPROTECT)) {
		ct_snap_uffd_unregister(fd, addr, len);
		return -ENOTSUP;
	}
	return 0;
}

int ct_snap_uffd_unregister(int fd, void *addr, size_t len)
{
	struct uffdio_range r = { (u64)(uintptr_t)addr, len };

	return uffd_ioctl(fd, UFFDIO_UNREGISTER, &r);
}

static int writeprotect(int fd, void *addr, size_t len, u64 mode)
{
	struct uffdio_writeprotect wp = { .range = { (u64)(uintptr_t)addr, len }, .mode = mode };
	int err;

	/* EAGAIN: the address space is being changed; no event of ours can hold that up. */
	do
		err = uffd_ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
	while (err == -EAGAIN || err == -EINTR);
	return err;
}

int ct_snap_uffd_protect(int fd, void *addr, size_t len)
{
	return writeprotect(fd, addr, len, UFFDIO_WRITEPROTECT_MODE_WP);
}

int ct_snap_uffd_release(int fd, void *addr, size_t len, bool wake)
{
	return writeprotect(fd, addr, len, wake ? 0 : UFFDIO_WRITEPROTECT_MODE_DONTWAKE);
}

int ct_snap_uffd_wake(int fd, void *addr, size_t len)
{
	struct uffdio_range r = { (u64)(uintptr_t)addr, len };

	return uffd_ioctl(fd, UFFDIO_WAKE, &r);
}

int ct_snap_uffd_fill(int fd, void *addr, const void *from, size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct uffdio_copy c = {
			.dst = (u64)(uintptr_t)addr + done,
			.src = (u64)(uintptr_t)from + done,
			.len = len - done,
			.mode = UFFDIO_COPY_MODE_DONTWAKE,
		};
		int err = uffd_ioctl(fd, UFFDIO_COPY, &c);

		/* What was copied before an error counts. */
		if (c.copy > 0)
			done += (size_t)c.copy;
		if (err && err != -EAGAIN)
			return err;
	}
	return 0;
}

int ct_snap_uffd_poison(int fd, void *addr, size_t len)
{
	struct uffdio_poison p = { .range = { (u64)(uintptr_t)addr, len } };

	return uffd_ioctl(fd, UFFDIO_POISON, &p);
}
