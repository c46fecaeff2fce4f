/* SPDX-License-Identifier: MIT */
/*
 * Without EVENT_FORK a child has the memory as ordinary private memory: nothing is
 * protected, nothing is registered, and the parent's protection stays.  A page with
 * MADV_WIPEONFORK reads zero there, and one with MADV_DONTFORK is not mapped.
 */
#include "uf.h"

#include <sys/wait.h>

static int fd;
static volatile unsigned int nr;

static void on_bus(int sig, siginfo_t *info, void *context)
{
	nr++;
	uf_protect(fd, (char *)((uintptr_t)info->si_addr & ~(PAGE - 1)), PAGE, false);
}

int main(void)
{
	struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
	char *const m = uf_map(8 * PAGE, PROT_READ | PROT_WRITE);
	volatile char *const p = m;
	unsigned char in_core[1];
	int status;
	pid_t pid;

	sigaction(SIGBUS, &sa, NULL);
	memset(m, 7, 8 * PAGE);
	fd = uf_sigbus(m, 4 * PAGE);
	check(!uf_protect(fd, m, 4 * PAGE, true), "protect");
	check(!madvise(m + 4 * PAGE, PAGE, MADV_WIPEONFORK), "WIPEONFORK");
	check(!madvise(m + 6 * PAGE, PAGE, MADV_DONTFORK), "DONTFORK");
	pid = fork();
	if (pid == 0) {
		p[0] = 1;
		if (nr || p[0] != 1 || p[1] != 7)
			_exit(1);
		if (p[4 * PAGE] != 0)
			_exit(2);
		if (!mincore(m + 6 * PAGE, PAGE, in_core) || errno != ENOMEM)
			_exit(3);
		if (uf_pagemap(m + PAGE) & PM_WP)
			_exit(4);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && !WEXITSTATUS(status), "the child: %x", status);
	check(p[0] == 7 && p[4 * PAGE] == 7, "the parent's memory");
	p[0] = 2;
	p[PAGE] = 2;
	check(nr == 2, "the parent's protection: %u faults", nr);
	return 0;
}
