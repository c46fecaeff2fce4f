/* SPDX-License-Identifier: MIT */
/*
 * The other side of every ratio: fork() of the same memory, and the kernel's copying
 * of what is written while the child lives.
 */
#include <signal.h>

#include "bench.h"

static pid_t fork_child(double *ret_us)
{
	double t = now_us();
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	*ret_us = now_us() - t;
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

double bench_fork_us(struct bench *b)
{
	double t[ROUNDS];

	for (size_t i = 0; i < ROUNDS; i++) {
		end_child(fork_child(&t[i]));
		/* A huge page that a write splits would make the next fork dearer. */
		if (!b->huge)
			bench_fill(b);
	}
	return median(t, ROUNDS);
}

double bench_cow_us(struct bench *b, bool random)
{
	size_t nr = b->nr_pages / 20;
	uint32_t *pages = malloc(nr * sizeof(*pages));
	double t[ROUNDS + 1], fork_us;

	bench_fill(b);
	for (size_t i = 0; i <= ROUNDS; i++) {
		pid_t pid;

		bench_order(b, pages, nr, random);
		pid = fork_child(&fork_us);
		t[i] = bench_writes_us(b, pages, nr);
		end_child(pid);
	}
	free(pages);
	bench_fill(b);
	return median(t + 1, ROUNDS);
}
