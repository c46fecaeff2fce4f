/* SPDX-License-Identifier: MIT */
/* Finding the command, judging whether it can be traced, and starting it. */
#ifndef CT_CLI_LAUNCH_H
#define CT_CLI_LAUNCH_H

#include <sys/types.h>

#include "base/err.h"

struct ct_launch {
	char *const *argv;
	const char *user;   /* NULL: ours */
	char path[4096];    /* of the command, by ct_launch_find */
	char preload[4096]; /* of libcowtrace-preload.so */
	char address[160];  /* value of COWTRACE_RECORDER */
};

/*
 * Finds argv[0] as execvp(3) would and checks that the preload will work in it.
 * Returns 0, or an exit status (exit.h) with the sentence in *err.
 */
int ct_launch_find(struct ct_launch *l, struct ct_err *err);

/* Finds libcowtrace-preload.so: beside the build, or installed.  0 or an exit status. */
int ct_launch_preload(struct ct_launch *l, struct ct_err *err);

/*
 * Starts the command: 0 and its pid, or an exit status.  Signals of the child
 * are as `mask` and the defaults have them.
 */
int ct_launch_start(const struct ct_launch *l, const sigset_t *mask, pid_t *ret_pid,
		    struct ct_err *err);

#endif
