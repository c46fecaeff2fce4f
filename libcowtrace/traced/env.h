/* SPDX-License-Identifier: MIT */
/*
 * The environment of a program that is about to be executed: with the preload
 * and the recorder's address in it, wherever the program left them out.
 */
#ifndef CT_TRACED_ENV_H
#define CT_TRACED_ENV_H

#include "base/base.h"

#define CT_ENV_SMALL 192u

struct ct_env {
	char **envp; /* what to pass on: the program's own, or a copy of it */
	void *map;   /* a large copy */
	size_t map_len;
	char *few[CT_ENV_SMALL];
	char preload[1024]; /* the program's LD_PRELOAD and ours */
};

/*
 * Prepares env->envp from the program's envp.  It stays the program's own where
 * nothing is missing, where it cannot be read (the kernel will say so), or where
 * the process is quiet.  The strings stay the program's.
 *
 * Some 3 KiB on the caller's stack; a list of more than CT_ENV_SMALL entries
 * that must be changed is copied to a mapping (in a vfork child that succeeds,
 * the parent keeps it: a few pages).  Async-signal-safe, errno untouched.
 */
void ct_env_init(struct ct_env *env, char *const *envp);

/* The exec has failed, or the spawn is done. */
void ct_env_fini(struct ct_env *env);

#endif
