/* SPDX-License-Identifier: MIT */
/*
 * A page-fault event of a child, that writes with SIGTRAP open and with SIGTRAP
 * blocked.  The child makes system calls of its own alone, and tells what it found by
 * its exit status; a kernel that kills it has told as well.
 *
 * It decides nothing.  Invariant: no signal reaches the caller, not even SIGCHLD.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/perfev.h"
#include "base/rawsys.h"
#include "sys/perfev.h"

static int read_sysctl(void)
{
	FILE *f = fopen("/proc/sys/kernel/perf_event_paranoid", "re");
	int v = INT_MIN;

	if (!f)
		return v;
	if (fscanf(f, "%d", &v) != 1)
		v = INT_MIN;
	fclose(f);
	return v;
}

/* Shared: what the child's handler writes is seen here. */
struct seen {
	volatile int in_time, late, open, unharmed;
};

static struct seen *seen_of(const siginfo_t *info)
{
	return (struct seen *)ct_perfev_data_of(info);
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	if (info->si_code != CT_TRAP_PERF)
		return;
	if (ct_perfev_flags_of(info) & CT_TRAP_ASYNC)
		seen_of(info)->late = 1;
	else
		seen_of(info)->in_time = 1;
}

static void child(struct seen *seen, volatile char *page)
{
	struct sigaction sa = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	struct perf_event_attr attr;
	sigset_t trap;
	long fd;

	sigfillset(&sa.sa_mask);
	sigaction(SIGTRAP, &sa, NULL);
	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	sigprocmask(SIG_UNBLOCK, &trap, NULL);
	ct_perfev_attr(&attr, 1, (u64)seen, true);
	fd = ct_sys5(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	seen->open = fd < 0 ? (int)fd : 0;
	if (fd >= 0) {
		page[0] = 1;
		sigprocmask(SIG_BLOCK, &trap, NULL);
		page[CT_PAGE_SIZE] = 1;
		sigprocmask(SIG_UNBLOCK, &trap, NULL);
	}
	seen->unharmed = 1;
	ct_sys1(SYS_exit_group, 0);
	__builtin_unreachable();
}

int ct_perfev_probe(struct ct_perfev_probe *ret)
{
	struct ct_perfev_probe p = { .signal = CT_PERFEV_NOT_TRIED,
				     .blocked = CT_PERFEV_NOT_TRIED,
				     .sysctl = read_sysctl() };
	struct seen *seen =
		mmap(NULL, CT_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *page = mmap(NULL, 2 * CT_PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long pid = -ENOMEM;

	if (seen != MAP_FAILED && page != MAP_FAILED) {
		/* No signal at its end. */
		pid = ct_sys5(SYS_clone, 0, 0, 0, 0, 0);
		if (pid == 0)
			child(seen, page);
	}
	if (pid > 0) {
		while (ct_sys4(SYS_wait4, pid, 0, __WALL, 0) == -EINTR)
			;
		p.open = seen->open;
		if (!p.open) {
			p.signal = seen->in_time ? 0 : -EIO;
			p.blocked = seen->unharmed && seen->late ? 0 : -EFAULT;
		}
	} else {
		p.open = (int)pid;
	}
	if (seen != MAP_FAILED)
		munmap(seen, CT_PAGE_SIZE);
	if (page != MAP_FAILED)
		munmap(page, 2 * CT_PAGE_SIZE);
	*ret = p;
	return p.open ? p.open : p.signal ? p.signal : p.blocked;
}
