/* SPDX-License-Identifier: MIT */
/* A small trace that has one of everything a report must cope with. */
#ifndef TESTS_UNIT_REPORT_SCENARIO_H
#define TESTS_UNIT_REPORT_SCENARIO_H

#include "store/store.h"

/*
 * pid 100 "server" forks 101 (exits), 102 (killed: its side is unknown) and, by
 * another caller, 104; 101 forks 103, which execs.  Its own memory, a tagged
 * region, swap and huge pages, a JIT frame, a name that is not UTF-8.
 */
void scenario_put(struct ct_store *s);

/* All of it in a finished trace. */
void scenario_write(const char *path);

/*
 * The same, and the first writes that an engine saw: of every verdict and outcome,
 * with and without stack, of system calls, huge pages, and where no region is.
 * test_writes.c has the sums.
 */
void scenario_put_writes(struct ct_store *s);
void scenario_write_watched(const char *path);

#endif
