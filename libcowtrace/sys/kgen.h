/* SPDX-License-Identifier: MIT */
/*
 * Which generation of the reuse-or-copy rule the running kernel has, found by
 * experiment and not by its version: distributions move rules between versions.
 */
#ifndef CT_SYS_KGEN_H
#define CT_SYS_KGEN_H

#include "base/base.h"

#define CT_KGEN_MAX_EVIDENCE 10

struct ct_kgen {
	char model[16]; /* a name of cowtrace_model_find() */
	bool certain;	/* false: an experiment that would tell could not be made; of g6
			 * and g6b, which differ in races only, g6 is said without one */
	u64 took_ns;
	size_t nr_evidence;
	char evidence[CT_KGEN_MAX_EVIDENCE][160]; /* a sentence for each experiment */
};

/*
 * Makes the experiments in a child process, in a few milliseconds.  Needs no
 * privilege; without one, or without huge pages, the answer may be less certain.
 * Forks: not for a signal handler, nor while other threads hold libc's locks.
 * The caller keeps the answer: it does not change while the kernel runs.
 *
 * Returns 0; -EIO when the child died; -errno of pipe, fork or read.
 */
int ct_kgen_probe(struct ct_kgen *ret_gen);

#endif
