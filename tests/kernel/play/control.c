/* SPDX-License-Identifier: MIT */
/*
 * The player's side of a played process: calls, births, deaths, and what smaps
 * says of it.
 *
 * Invariant: when a call returns, its process has done it and sleeps again.
 */
#include "play.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

static int pidfd_open_(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

static bool gone(pid_t pid)
{
	return kill(pid, 0) && errno == ESRCH;
}

/* -1 with a note when the process died over it (SIGBUS, SIGSEGV, OOM). */
int call(struct proc *p, enum op op)
{
	struct timespec wait = { 0, 200000000 };
	uint32_t want = p->asked + 1;

	p->op = op;
	p->reuse = p->copy = p->zeroed = p->fresh = p->moved_huge = 0;
	p->error = 0;
	__atomic_store_n(&p->asked, want, __ATOMIC_RELEASE);
	syscall(SYS_futex, &p->asked, FUTEX_WAKE, 1, NULL, NULL, 0);
	for (int spins = 0; spins < 300; spins++) {
		uint32_t got = __atomic_load_n(&p->answered, __ATOMIC_ACQUIRE);

		if (got == want)
			return p->error;
		syscall(SYS_futex, &p->answered, FUTEX_WAIT, got, &wait, NULL, 0);
		if (gone(p->pid))
			break;
	}
	if (__atomic_load_n(&p->answered, __ATOMIC_ACQUIRE) == want)
		return p->error;
	skip("process %s died or hung", p->name);
	return -1;
}

struct proc *spawn(const char *name)
{
	for (int i = 0; i < MAX_PROCS; i++) {
		struct proc *p = &sh->procs[i];
		pid_t pid;

		if (p->name[0])
			continue;
		memset(p, 0, sizeof(*p));
		snprintf(p->name, sizeof(p->name), "%s", name);
		/* The child shares the slot: only this side may write its number. */
		pid = fork();
		if (!pid)
			proc_serve(i);
		p->pid = pid;
		return p;
	}
	skip("more than %d processes", MAX_PROCS);
	return NULL;
}

/* Exit is over when the memory is gone, which is before the process is a zombie. */
void reap(struct proc *p)
{
	struct pollfd pfd = { .fd = pidfd_open_(p->pid), .events = POLLIN };

	p->op = OP_EXIT;
	__atomic_store_n(&p->asked, p->asked + 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &p->asked, FUTEX_WAKE, 1, NULL, NULL, 0);
	if (pfd.fd >= 0 && poll(&pfd, 1, 10000) != 1)
		kill(p->pid, SIGKILL), poll(&pfd, 1, 10000);
	if (pfd.fd >= 0)
		close(pfd.fd);
	memset(p, 0, sizeof(*p));
}

/* Anonymous huge pages mapped by a PMD, in KiB. */
unsigned long huge_kb(pid_t pid)
{
	char path[64], line[256];
	unsigned long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "AnonHugePages: %lu", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

/*
 * LRU batches are emptied.  All of this program runs on one CPU, so that CPU's are
 * enough after an event: MADV_COLD begins with lru_add_drain().  @all_cpus: after
 * others (ksmd, reclaim) had the pages in hand; move_pages() drains every CPU
 * before it looks at its list, which takes a while on a busy machine.
 */
void drain(bool all_cpus)
{
	static char page[PAGE] __attribute__((aligned(4096)));
	void *pages[1] = { page };
	int node = 0, status = 0;

	page[0] = 1;
	madvise(page, PAGE, MADV_COLD);
	if (all_cpus)
		syscall(SYS_move_pages, 0, 1UL, pages, &node, &status, 0);
}
