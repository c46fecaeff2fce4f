/* SPDX-License-Identifier: MIT */
/* The scenario language, played through the ledger and a model. */
#ifndef CT_CLI_POLICY_SCENARIO_H
#define CT_CLI_POLICY_SCENARIO_H

#include <stdio.h>

#include "base/err.h"
#include "ledger/ledger.h"

struct ct_scenario;

struct ct_scenario_step {
	int line;
	const char *event; /* its words, one blank apart */
	const struct ct_effect *effect;
	u64 huge; /* PMD-mapped huge pages of all processes, after it */
};

/*
 * Reads a scenario; `name` is what errors call it.  -EINVAL with a sentence when
 * an event is none; -errno of reading.
 */
int ct_scenario_load(FILE *in, const char *name, struct ct_scenario **ret_sc, struct ct_err *err);
void ct_scenario_free(struct ct_scenario *sc);

/*
 * Plays it by `model`; `fn` is called after each event.  -EINVAL with a sentence
 * for an event that cannot happen (no such process, a page outside of its region).
 */
int ct_scenario_play(const struct ct_scenario *sc, enum cowtrace_model_id model,
		     void (*fn)(void *arg, const struct ct_scenario_step *step), void *arg,
		     struct ct_err *err);

#endif
