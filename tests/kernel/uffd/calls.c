/* SPDX-License-Identifier: MIT */
/* The calls of a userfaultfd.  Invariant: the kernel's answer is handed on unchanged. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "subject.h"

#define PATIENCE_MS 10000

static struct uffdio_range range_of(const void *p, size_t nr_pages)
{
	return (struct uffdio_range){ .start = (uintptr_t)p, .len = nr_pages * PAGE };
}

static int call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int uffd_api(int fd, uint64_t features)
{
	struct uffdio_api arg = { .api = UFFD_API, .features = features };

	return call(fd, UFFDIO_API, &arg);
}

int uffd_register(int fd, const void *p, size_t nr_pages)
{
	struct uffdio_register arg = {
		.range = range_of(p, nr_pages),
		.mode = UFFDIO_REGISTER_MODE_WP,
	};

	return call(fd, UFFDIO_REGISTER, &arg);
}

int uffd_unregister(int fd, const void *p, size_t nr_pages)
{
	struct uffdio_range arg = range_of(p, nr_pages);

	return call(fd, UFFDIO_UNREGISTER, &arg);
}

static int protect(int fd, const void *p, size_t nr_pages, uint64_t mode)
{
	struct uffdio_writeprotect arg = { .range = range_of(p, nr_pages), .mode = mode };

	return call(fd, UFFDIO_WRITEPROTECT, &arg);
}

int uffd_protect(int fd, const void *p, size_t nr_pages)
{
	return protect(fd, p, nr_pages, UFFDIO_WRITEPROTECT_MODE_WP);
}

int uffd_lift(int fd, const void *p, size_t nr_pages, bool wake)
{
	return protect(fd, p, nr_pages, wake ? 0 : UFFDIO_WRITEPROTECT_MODE_DONTWAKE);
}

int uffd_wake(int fd, const void *p, size_t nr_pages)
{
	struct uffdio_range arg = range_of(p, nr_pages);

	return call(fd, UFFDIO_WAKE, &arg);
}

void uffd_arm(int fd, const void *p, size_t nr_pages)
{
	int r = uffd_register(fd, p, nr_pages);

	if (r == 0)
		r = uffd_protect(fd, p, nr_pages);
	if (r < 0)
		lab_die("arm %zu pages at %p: %d", nr_pages, p, r);
}

int uffd_lift_soon(int fd, const void *p, size_t nr_pages)
{
	double end = lab_now() + PATIENCE_MS / 1e3;
	int r;

	do
		r = uffd_lift(fd, p, nr_pages, true);
	while (r == -EAGAIN && lab_now() < end);
	return r;
}

bool uffd_readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1 && p.revents == POLLIN;
}

struct uffd_msg uffd_next(int fd)
{
	struct uffd_msg msg;

	if (!uffd_readable(fd, PATIENCE_MS))
		lab_die("no message comes");
	if (read(fd, &msg, sizeof(msg)) != sizeof(msg))
		lab_die("read a message");
	return msg;
}

int uffd_next_fork(int fd)
{
	struct uffd_msg msg = uffd_next(fd);

	if (msg.event != UFFD_EVENT_FORK)
		lab_die("message %#x where a fork was to come", msg.event);
	return (int)msg.arg.fork.ufd;
}

unsigned int uffd_pending(int fd)
{
	char path[64], text[512], *at;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (!lab_read_text(path, text, sizeof(text)) || !(at = strstr(text, "pending:")))
		lab_die("no pending in %s", path);
	return (unsigned int)strtoul(at + strlen("pending:"), NULL, 10);
}
