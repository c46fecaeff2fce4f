/* SPDX-License-Identifier: MIT */
/*
 * What it costs to start a program: runs it NR times, by posix_spawn, and prints
 * the median and the tenth part of the times from there to its end, ns.
 *
 * usage: bench-start NR PROGRAM [ARG...]      the environment is the program's
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Whoever starts the bench is not under the preload: it is set for the program alone. */
static char **environment_of_program(void)
{
	const char *preload = getenv("PROGRAM_PRELOAD");

	if (preload && *preload)
		setenv("LD_PRELOAD", preload, 1);
	return environ;
}

int main(int argc, char **argv)
{
	const size_t nr = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	uint64_t *took = calloc(nr + 1, sizeof(*took));
	char **envp = environment_of_program();

	if (!nr || !took)
		return 2;
	for (size_t i = 0; i < nr; i++) {
		uint64_t t = now_ns();
		int status = 0;
		pid_t pid;

		if (posix_spawn(&pid, argv[2], NULL, NULL, argv + 2, envp) ||
		    waitpid(pid, &status, 0) != pid || status)
			return 1;
		took[i] = now_ns() - t;
	}
	qsort(took, nr, sizeof(*took), by_value);
	printf("[%lu, %lu]\n", (unsigned long)took[nr / 2], (unsigned long)took[nr / 10]);
	free(took);
	return 0;
}
