/* SPDX-License-Identifier: MIT */
/* A statement about the kernel or libc; a program ends with 1 at the first that is false. */
#ifndef TEST_KERNEL_TRACED_SAY_H
#define TEST_KERNEL_TRACED_SAY_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define say(what, cond)                                                            \
	do {                                                                       \
		if (!(cond)) {                                                     \
			printf("not so: %s (%s, errno %d)\n", what, #cond, errno); \
			exit(1);                                                   \
		}                                                                  \
	} while (0)

static inline double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

#endif
