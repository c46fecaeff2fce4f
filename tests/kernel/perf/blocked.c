/* SPDX-License-Identifier: MIT */
/*
 * A thread that has SIGTRAP blocked takes its faults unharmed: one signal stays on its
 * queue, of the first fault, flagged as late, and comes when it is unblocked.  Kernels
 * before 5.18 kill it.  One that ignores SIGTRAP hears nothing.  Faults that the
 * handler itself takes, every signal blocked, come back in the same way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trap.h"

static char *page;

/* The first time for its own stack and code, which a forked child has yet to touch. */
static void with_blocked(void)
{
	uint32_t blocked = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	for (int turn = 0; turn < 2; turn++) {
		trap_store(page + (60 + turn) * PAGE);
		sigprocmask(SIG_BLOCK, &set, NULL);
		trap_reset();
		for (int i = 0; i < 8; i++)
			page[(turn * 8 + i) * PAGE] = 1;
		blocked = traps->nr + traps->nr_async;
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	}
	check(!blocked, "a signal came though it was blocked");
	check(!traps->nr, "%u signals that say they are in time", traps->nr);
	check(traps->nr_async == 1, "%u late signals", traps->nr_async);
	check(trap_store(page + 20 * PAGE) == 1, "and then none in time");
	exit(lab_result());
}

static void with_ignored(void)
{
	signal(SIGTRAP, SIG_IGN);
	for (int i = 0; i < 8; i++)
		page[i * PAGE] = 1;
	_exit(0);
}

static volatile int turns;

static void handler_faults(int sig)
{
	(void)sig;
	page[(30 + turns) * PAGE] = 1;
	page[(40 + turns) * PAGE] = 1;
	atomic_fetch_add(&traps->nr, 1);
}

/* The handler's own two faults raise it once more, when it finds the pages there. */
static void in_handler(void)
{
	struct sigaction sa = { .sa_handler = handler_faults, .sa_flags = SA_ONSTACK };

	sigfillset(&sa.sa_mask);
	sigaction(SIGTRAP, &sa, NULL);
	for (turns = 0; turns < 2; turns++) {
		trap_reset();
		page[turns * PAGE] = 1;
		if (turns)
			check(traps->nr == 2, "the handler ran %u times", traps->nr);
	}
	exit(lab_result());
}

static int try(void (*step)(void))
{
	int status;
	pid_t pid;

	trap_reset();
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		trap_open((struct trap_opts){ 0 });
		step();
	}
	waitpid(pid, &status, 0);
	return status;
}

/* A page that the kernel takes away in between may be the one fault that is queued. */
static void run(const char *name, void (*step)(void))
{
	int status = 1;

	for (int i = 0; i < 3 && status; i++)
		status = try(step);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGTRAP)
		lab_skip("%s: this kernel kills a thread that has SIGTRAP blocked", name);
	check(!status, "%s: status %#x", name, status);
}

int main(void)
{
	page = lab_map(64);
	trap_init(page, 64);
	close(trap_open((struct trap_opts){ .disabled = true }));
	run("blocked", with_blocked);
	run("ignored", with_ignored);
	run("in the handler", in_handler);
	return lab_result();
}
