/* SPDX-License-Identifier: MIT */
/*
 * `--engine`: a name is taken as it is, and refused by the recorder where it cannot
 * run; auto takes the best that can, and says why it is not a better one.
 *
 * Invariant: auto never refuses to record for want of an engine that is not needed.
 */
#include "record_engine.h"

#include <string.h>

#include "engine_choice.h"
#include "engine_facts.h"
#include "exit.h"

static bool choose(struct ct_record_engine *e)
{
	enum ct_engine_id id = ct_engine_choose(e->facts);

	ct_engine_explain(id, e->facts, e->why, sizeof(e->why));
	e->name = ct_engine_id_name(id);
	return id != CT_ENGINE_ID_NONE;
}

int ct_record_engine_find(const char *wanted, struct ct_record_engine *ret, struct ct_err *err)
{
	struct ct_record_engine e = { .name = wanted, .chosen = !strcmp(wanted, "auto") };
	struct ct_probes probes;

	if (e.chosen) {
		ct_probes_run(&probes);
		e.facts = ct_probes_facts(&probes);
		if (!choose(&e))
			return ct_err_set(err, CT_EXIT_RECORD_FAILED, "%s; see `cowtrace doctor`",
					  e.why);
	}
	*ret = e;
	return 0;
}

bool ct_record_engine_next(struct ct_record_engine *e)
{
	/* All that was tried here worked: what is left is what only the recorder tries. */
	u32 tried = !strcmp(e->name, "uffd")   ? CT_FACT_BIT(CT_FACT_RULE)
		    : !strcmp(e->name, "perf") ? CT_FACT_BIT(CT_FACT_PERF_SIGNAL)
					       : 0;

	if (!e->chosen || !(e->facts & tried))
		return false;
	e->facts &= ~tried;
	return choose(e);
}
