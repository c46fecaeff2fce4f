/* SPDX-License-Identifier: MIT */
/* What was found out about this place, and which facts follow for the engines. */
#ifndef CT_CLI_ENGINE_FACTS_H
#define CT_CLI_ENGINE_FACTS_H

#include "channel/segment.h"
#include "sys/kcaps.h"
#include "sys/perf_probe.h"
#include "sys/perfev.h"
#include "sys/place.h"
#include "sys/uffd_probe.h"

/* Three descriptors for each process that can be traced, and the recorder's own. */
#define CT_FILES_WANTED (3 * CT_SEG_SLOTS + 1024)

struct ct_probes {
	struct ct_place place;
	struct ct_uffd_probe uffd;
	struct ct_perf_probe perf;     /* what may be opened at all */
	struct ct_perfev_probe perfev; /* what the engine opens, and that it works */
	struct ct_kcaps kcaps;
	bool signal_ignored; /* the signal that asks for stacks, here and in what we start */
};

/* Tries everything, a few ms.  One thread at a time; forks. */
void ct_probes_run(struct ct_probes *ret);

/* A bit for each enum ct_fact (engine_choice.h) that holds.  Pure. */
u32 ct_probes_facts(const struct ct_probes *p);

#endif
