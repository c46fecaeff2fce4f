/* SPDX-License-Identifier: MIT */
/* From `--engine` to the engine that is started. */
#ifndef CT_CLI_RECORD_ENGINE_H
#define CT_CLI_RECORD_ENGINE_H

#include "base/err.h"

struct ct_record_engine {
	const char *name; /* "uffd", "census" */
	bool chosen;	  /* by us: --engine auto */
	char why[512];	  /* then: a line for people, without a full stop; else "" */
	u32 facts;
};

/*
 * What --engine WANTED means here.  auto tries what can run: a few ms, and a child
 * that is waited for.  0, or an exit status with the sentence in *err.
 */
int ct_record_engine_find(const char *wanted, struct ct_record_engine *ret, struct ct_err *err);

/*
 * The recorder could not start the engine.  true: another one was chosen, and *e
 * says which; false: it was asked for by name, or there is none left.
 */
bool ct_record_engine_next(struct ct_record_engine *e);

#endif
