/* SPDX-License-Identifier: MIT */
/*
 * Each step that the uffd engine needs, taken once on a page and a thread of our
 * own.  Says what the kernel answered, not what a user should do about it.
 *
 * Invariant: nothing outlives the probe: no descriptor, mapping, or handler.
 */
#include "sys/uffd_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "sys/uapi.h"
#include "sys/uffd.h"

static int protect_a_page(int fd)
{
	char *p = mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);
	u64 at = (uintptr_t)p;
	int rc;

	if (p == MAP_FAILED)
		return -errno;
	/* Nobody serves it: it is written before, and not while it is protected. */
	*(volatile char *)p = 1;
	rc = ct_uffd_register_wp(fd, at, CT_PAGE_SIZE);
	if (!rc)
		rc = ct_uffd_protect(fd, at, CT_PAGE_SIZE);
	if (!rc)
		rc = ct_uffd_unprotect(fd, at, CT_PAGE_SIZE, true);
	munmap(p, CT_PAGE_SIZE);
	return rc;
}

static void probe_uffd(struct ct_uffd_probe *p)
{
	ct_auto_fd int dev = -1, fd = -1;
	u64 missing;

	p->create = p->api = p->protect = CT_NOT_TRIED;
	p->dev = ct_uffd_open_dev(&dev);
	if (p->dev)
		return;
	p->create = ct_uffd_create(dev, &fd);
	if (p->create)
		return;
	p->api = ct_uffd_api(fd, &missing);
	if (!p->api)
		p->protect = protect_a_page(fd);
}

static int try_call(int flags)
{
	long fd = syscall(SYS_userfaultfd, O_CLOEXEC | flags);

	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

static int read_number(const char *path)
{
	ct_auto_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0)
		return -errno;
	return read(fd, text, sizeof(text) - 1) < 0 ? -errno : atoi(text);
}

static int has_capability(int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	return !!(data[cap / 32].effective & 1u << (cap & 31));
}

/* The file is there where the kernel can tell the registers of a stopped thread. */
static int read_call_file(void)
{
	char path[64], text[128];
	ct_auto_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/self/task/%ld/syscall", syscall(SYS_gettid));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return read(fd, text, sizeof(text)) <= 0 ? -errno : 0;
}

static int queue_and_take(int sig)
{
	struct timespec soon = { .tv_sec = 1 };
	siginfo_t info, got;
	sigset_t set;

	memset(&info, 0, sizeof(info));
	info.si_signo = sig;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_ptr = &info;
	if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), sig, &info))
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, sig);
	if (sigtimedwait(&set, &got, &soon) != sig)
		return -errno;
	/* A full queue of signals sends real-time ones without their value. */
	return got.si_value.sival_ptr == &info ? 0 : -ENOBUFS;
}

static int try_signal(int sig)
{
	sigset_t set, old;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, sig);
	/* Blocked, it waits for us, whatever its action is. */
	if (sigprocmask(SIG_BLOCK, &set, &old))
		return -errno;
	rc = queue_and_take(sig);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

void ct_uffd_probe(int signal, struct ct_uffd_probe *ret)
{
	*ret = (struct ct_uffd_probe){ .features = 0 };
	probe_uffd(ret);
	if (ct_uffd_features(&ret->features))
		ret->features = 0;
	ret->call = try_call(0);
	ret->call_user = try_call(UFFD_USER_MODE_ONLY);
	ret->call_file = read_call_file();
	ret->signal = try_signal(signal);
	ret->sysctl = read_number("/proc/sys/vm/unprivileged_userfaultfd");
	ret->cap_ptrace = has_capability(CAP_SYS_PTRACE);
}
