/* SPDX-License-Identifier: MIT */
/*
 * From what the probes say to what the engines ask for.
 *
 * Invariant: a probe that was not tried gives no fact.
 */
#include "engine_facts.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>

#include "engine_choice.h"
#include "sys/uffd.h"
#include "traced/sighandler.h"

void ct_probes_run(struct ct_probes *ret)
{
	struct sigaction sa = { .sa_handler = SIG_DFL };

	ct_place_look(&ret->place);
	ct_uffd_probe(CT_STACK_SIGNAL, &ret->uffd);
	ct_perf_probe(&ret->perf);
	ct_perfev_probe(&ret->perfev);
	ct_kcaps_probe(&ret->kcaps);
	sigaction(CT_STACK_SIGNAL, NULL, &sa);
	ret->signal_ignored = sa.sa_handler == SIG_IGN;
}

/* May signals be sent to the threads of a program that runs as somebody else? */
static bool may_signal_others(const struct ct_place *p)
{
	/* Who may not become another user starts no such program. */
	return ct_place_has_cap(p, CAP_KILL) || !ct_place_has_cap(p, CAP_SETUID);
}

u32 ct_probes_facts(const struct ct_probes *p)
{
	const struct {
		enum ct_fact fact;
		bool holds;
	} all[] = {
		{ CT_FACT_MEMORY, !p->place.memory },
		{ CT_FACT_SOCKET, !p->place.socket },
		{ CT_FACT_PAGEMAP, !p->place.pagemap },
		{ CT_FACT_DEVICE, !p->uffd.dev },
		{ CT_FACT_USERFAULTFD, !p->uffd.create },
		/* Nobody could ask what it has where it cannot be made. */
		{ CT_FACT_FEATURES, p->uffd.api != -ENOTSUP },
		{ CT_FACT_FORK_EVENTS, !p->uffd.api },
		{ CT_FACT_PROTECT, !p->uffd.protect },
		{ CT_FACT_SCAN, p->kcaps.pagemap_scan },
		/* The recorder finds out; where it cannot, it says so. */
		{ CT_FACT_RULE, true },
		{ CT_FACT_PERF_ENGINE, true },
		{ CT_FACT_PERF_EVENTS, !p->perf.event },
		{ CT_FACT_PERF_SIGNAL, !p->perfev.open && !p->perfev.signal },
		{ CT_FACT_PERF_BLOCKED, !p->perfev.blocked },
		{ CT_FACT_FRAMES, p->kcaps.pfns },
		{ CT_FACT_PAGE_FLAGS, p->kcaps.kpage },
		{ CT_FACT_CALL_FILE, !p->uffd.call_file },
		{ CT_FACT_SIGNAL, !p->uffd.signal && !p->signal_ignored },
		{ CT_FACT_KILL, may_signal_others(&p->place) },
		{ CT_FACT_FILES, p->place.nofile_max >= CT_FILES_WANTED },
	};
	u32 facts = 0;

	for (size_t i = 0; i < ct_array_size(all); i++)
		if (all[i].holds)
			facts |= CT_FACT_BIT(all[i].fact);
	return facts;
}
