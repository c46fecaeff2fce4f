/* SPDX-License-Identifier: MIT */
/*
 * What the hostile programs share.  Each is a program of its own that knows
 * nothing of cowtrace: it checks itself, prints what an untraced run prints too,
 * and ends with 0.
 */
#ifndef TEST_HOSTILE_HOST_H
#define TEST_HOSTILE_HOST_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define check(cond)                                                                          \
	do {                                                                                 \
		if (!(cond)) {                                                               \
			fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, \
				errno);                                                      \
			exit(99);                                                            \
		}                                                                            \
	} while (0)

struct host_case {
	const char *name;
	void (*run)(void);
};

static inline int host_main(const struct host_case *cases, int argc, char **argv)
{
	for (; argc > 1 && cases->name; cases++)
		if (!strcmp(cases->name, argv[1])) {
			cases->run();
			return 0;
		}
	fprintf(stderr, "no such case\n");
	return 98;
}

static inline int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		check(errno == EINTR);
	return status;
}

/* Something to do for a process: memory comes and goes. */
static inline void touch_memory(int rounds)
{
	int i;

	for (i = 0; i < rounds; i++) {
		char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		check(p != MAP_FAILED);
		memset(p, i, 65536);
		check(!madvise(p, 32768, MADV_DONTNEED));
		check(p[0] == 0 && p[65535] == (char)i);
		check(!munmap(p, 65536));
	}
}

#endif
