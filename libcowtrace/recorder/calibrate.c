/* SPDX-License-Identifier: MIT */
/*
 * Three kinds of write faults, each timed over many pages after a real fork.
 *
 * The median of some rounds: the machine is shared, and one preemption costs more
 * than all the faults of a round.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/futex.h"
#include "recorder/calibrate.h"

#define PAGES 256
#define ROUNDS 5

/* A child that holds on to everything until it is killed. */
static pid_t relative(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	/* And with us, whoever ends us. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		pause();
	_exit(0);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static u64 write_all(volatile char *mem, size_t step, size_t nr)
{
	u64 t = ct_now_ns();
	size_t i;

	for (i = 0; i < nr; i++)
		mem[i * step] = (char)i;
	return (ct_now_ns() - t) / nr;
}

static int by_value(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u64 median(u64 *v, size_t nr)
{
	qsort(v, nr, sizeof(*v), by_value);
	return v[nr / 2];
}

static void *huge_page(char *mem)
{
	char *at = (char *)(((u64)mem + CT_HUGE_SIZE - 1) & ~(CT_HUGE_SIZE - 1));

	madvise(at, CT_HUGE_SIZE, MADV_HUGEPAGE);
	memset(at, 1, CT_HUGE_SIZE);
	return at;
}

static void measure(struct ct_fault_costs *ret)
{
	char *mem = mmap(NULL, PAGES * CT_PAGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 copy[ROUNDS], reuse[ROUNDS], huge[ROUNDS];
	char *two = mmap(NULL, 2 * CT_HUGE_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int i;

	if (mem == MAP_FAILED || two == MAP_FAILED)
		return;
	madvise(mem, PAGES * CT_PAGE_SIZE, MADV_NOHUGEPAGE);
	for (i = 0; i < ROUNDS; i++) {
		write_all(mem, CT_PAGE_SIZE, PAGES);
		pid = relative();
		if (pid < 0)
			return;
		copy[i] = write_all(mem, CT_PAGE_SIZE, PAGES);
		end(pid);
		pid = relative();
		if (pid < 0)
			return;
		end(pid);
		reuse[i] = write_all(mem, CT_PAGE_SIZE, PAGES);
		two = huge_page(two);
		pid = relative();
		if (pid < 0)
			return;
		huge[i] = write_all(two, CT_PAGE_SIZE, 1);
		end(pid);
		munmap(two, CT_HUGE_SIZE);
		two = mmap(NULL, 2 * CT_HUGE_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (two == MAP_FAILED)
			return;
	}
	ret->copy = median(copy, ROUNDS);
	ret->reuse = median(reuse, ROUNDS);
	ret->huge = median(huge, ROUNDS);
}

void ct_calibrate(struct ct_fault_costs *ret)
{
	struct ct_fault_costs *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	memset(ret, 0, sizeof(*ret));
	if (shared == MAP_FAILED)
		return;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		measure(shared);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	*ret = *shared;
	munmap(shared, sizeof(*shared));
}
