/* SPDX-License-Identifier: MIT */
/* cmocka wants these before it, in every test. */
#ifndef UNIT_SYS_UNIT_H
#define UNIT_SYS_UNIT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"

/* A child that waits to be killed. */
static inline pid_t unit_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

/* Kills it and leaves a zombie. */
static inline void unit_make_zombie(pid_t pid)
{
	siginfo_t si;

	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &si, WEXITED | WNOWAIT), 0);
}

static inline void unit_reap(pid_t pid)
{
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

#endif
