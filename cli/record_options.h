/* SPDX-License-Identifier: MIT */
/* The options of `cowtrace record`; what it does is in cmd_record.c. */
#ifndef CT_CLI_RECORD_OPTIONS_H
#define CT_CLI_RECORD_OPTIONS_H

#include <sys/types.h>

#include "base/base.h"

#define CT_RECORD_OUTPUT "cowtrace-%e-%p.cowtrace"

struct ct_record_options {
	const char *output;	  /* as given: with % expansions */
	u64 hold_ms;		  /* longest wait of a new child, an exit, an exec */
	const char *user;	  /* NULL: ours */
	const char *engine;	  /* "auto", "uffd", "census" */
	u64 linger_ms;		  /* uffd: protection outlives the last relative by this */
	const char *listen;	  /* path of the socket; NULL: a command of our own */
	const char *listen_group; /* who may connect beside the owner; NULL: nobody */
	u64 rotate_len;		  /* bytes; 0 as below: not so */
	u64 rotate_ns;
	u64 keep;
	u64 max_len; /* bytes */
	bool quiet;
};

/* What an option that is not given means. */
#define CT_RECORD_OPTIONS_INIT                                                                   \
	(struct ct_record_options)                                                               \
	{                                                                                        \
		.output = CT_RECORD_OUTPUT, .hold_ms = 1000, .engine = "auto", .linger_ms = 1000 \
	}

/*
 * The name of a trace: %p pid, %e the command's name (its last component; '/'
 * never appears), %t seconds since 1970, %h host name, %% a percent sign.
 * Heap.  0, -ENOMEM, or -EINVAL for another letter behind '%'.
 */
int ct_expand_name(const char *pattern, pid_t pid, const char *command, char **ret_name);

#endif
