/* SPDX-License-Identifier: MIT */
/*
 * An exec: the last reading of this image, and the environment of the next one.
 */
#ifndef CT_TRACED_EXECHOOK_H
#define CT_TRACED_EXECHOOK_H

#include "traced/env.h"
#include "traced/self.h"

struct ct_exec {
	struct ct_env env;
	struct ct_self self;
	bool asked;
	bool stopped; /* no stacks are asked for meanwhile */
	bool masked;  /* our signal is blocked as the program has it */
};

/*
 * path: of the file, or NULL where only a descriptor is known; certain: it is a
 * path and not a name to be searched for, so that a file that cannot be executed
 * need not be asked about.  Pass exec->env.envp on.
 */
void ct_exec_begin(struct ct_exec *exec, const char *path, bool certain, char *const *envp);

/* The exec has returned: errno says why, and stays. */
void ct_exec_failed(struct ct_exec *exec);

#endif
