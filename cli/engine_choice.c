/* SPDX-License-Identifier: MIT */
/*
 * The decision of `--engine auto`: two tables, of what each engine needs and what
 * it makes use of, and of the words for what is missing.
 *
 * Not here: how anything is found out, and the commands that would change it (the
 * doctor has them).  Invariant: a function of the facts alone, the same each time.
 */
#include "engine_choice.h"

#include <stdio.h>

#define BIT(name) CT_FACT_BIT(CT_FACT_##name)
#define ANY_ENGINE (BIT(MEMORY) | BIT(SOCKET) | BIT(PAGEMAP))

static const struct engine {
	const char *name;
	u32 needs; /* it does not run without */
	u32 uses;  /* it tells less without */
	const char *gives;
	const char *costs; /* what whoever asked for no engine should know; "" */
} engines[CT_NR_ENGINE_IDS] = {
	[CT_ENGINE_ID_UFFD] = {
		.name = "uffd",
		.needs = ANY_ENGINE | BIT(DEVICE) | BIT(USERFAULTFD) | BIT(FEATURES) |
			 BIT(FORK_EVENTS) | BIT(PROTECT) | BIT(SCAN) | BIT(RULE),
		.uses = BIT(FRAMES) | BIT(PAGE_FLAGS) | BIT(CALL_FILE) | BIT(SIGNAL) |
			BIT(KILL) | BIT(FILES),
		.gives = "each first write, its call site and its verdict",
		.costs = ", some tens of us each (--engine census: totals alone, at no cost)",
	},
	[CT_ENGINE_ID_PERF] = {
		.name = "perf",
		.needs = ANY_ENGINE | BIT(PERF_ENGINE) | BIT(PERF_EVENTS) | BIT(PERF_SIGNAL) | BIT(PERF_BLOCKED),
		.uses = BIT(FRAMES) | BIT(FILES),
		.gives = "each first write and its call site, after the fact",
		.costs = ", some us each",
	},
	[CT_ENGINE_ID_CENSUS] = {
		.name = "census",
		.needs = ANY_ENGINE,
		.uses = BIT(FRAMES) | BIT(FILES),
		.gives = "totals by fork and region",
		.costs = "",
	},
};

static const struct words {
	const char *missing, *remedy;
} words[CT_NR_FACTS] = {
	[CT_FACT_MEMORY] = { "no shared memory can be made (memfd_create)", "allow memfd_create" },
	[CT_FACT_SOCKET] = { "no Unix socket can be made", "allow Unix sockets" },
	[CT_FACT_PAGEMAP] = { "page maps of other processes cannot be read",
			      "mount /proc, without hidepid" },
	[CT_FACT_DEVICE] = { "/dev/userfaultfd cannot be opened",
			     "root, or /dev/userfaultfd and CAP_SYS_PTRACE" },
	[CT_FACT_USERFAULTFD] = { "/dev/userfaultfd gives no userfaultfd",
				  "a policy that allows ioctl on /dev/userfaultfd" },
	[CT_FACT_FEATURES] = { "this kernel's userfaultfd cannot do what is asked of it",
			       "a newer kernel" },
	[CT_FACT_FORK_EVENTS] = { "CAP_SYS_PTRACE is missing",
				  "root, or CAP_SYS_PTRACE outside of user namespaces" },
	[CT_FACT_PROTECT] = { "userfaultfd cannot protect a page", "a newer kernel" },
	[CT_FACT_SCAN] = { "this kernel has no PAGEMAP_SCAN", "Linux 6.7 or later" },
	[CT_FACT_RULE] = { "the kernel's rule for copies could not be found out",
			   "processes that may fork (ulimit -u)" },
	[CT_FACT_PERF_ENGINE] = { "this cowtrace has no perf engine", "another build" },
	[CT_FACT_PERF_EVENTS] = { "page-fault events are refused",
				  "kernel.perf_event_paranoid 2 and a container that allows "
				  "perf_event_open" },
	[CT_FACT_PERF_SIGNAL] = { "page-fault events cannot signal a thread",
				  "Linux 5.13 or later" },
	[CT_FACT_PERF_BLOCKED] = { "page-fault events kill a thread that blocks SIGTRAP",
				   "Linux 5.18 or later" },
	[CT_FACT_FRAMES] = { "page frames are hidden",
			     "root, or CAP_SYS_ADMIN outside of user namespaces" },
	[CT_FACT_PAGE_FLAGS] = { "/proc/kpageflags cannot be read", "root" },
	[CT_FACT_CALL_FILE] = { "/proc/PID/task/TID/syscall cannot be read",
				"a kernel with CONFIG_HAVE_ARCH_TRACEHOOK" },
	[CT_FACT_SIGNAL] = { "no thread can be asked for its stack",
			     "a limit of pending signals above 0 (ulimit -i), and signal 62 not "
			     "ignored" },
	[CT_FACT_KILL] = { "threads of other users cannot be asked for their stacks", "CAP_KILL" },
	[CT_FACT_FILES] = { "the limit on open files is low", "ulimit -n 13312" },
};

const char *ct_engine_id_name(enum ct_engine_id id)
{
	return id < CT_NR_ENGINE_IDS ? engines[id].name : "none";
}

const char *ct_fact_missing(enum ct_fact fact)
{
	return words[fact].missing;
}

const char *ct_fact_remedy(enum ct_fact fact)
{
	return words[fact].remedy;
}

enum ct_ability ct_engine_ability(enum ct_engine_id id, u32 facts, enum ct_fact *ret_missing)
{
	u32 lacks = engines[id].needs & ~facts;
	enum ct_ability ability = lacks ? CT_CANNOT : CT_LESS;

	if (!lacks)
		lacks = engines[id].uses & ~facts;
	*ret_missing = lacks ? (enum ct_fact)__builtin_ctz(lacks) : CT_NR_FACTS;
	return lacks ? ability : CT_WHOLE;
}

bool ct_engine_is_built(enum ct_engine_id id, u32 facts)
{
	return id != CT_ENGINE_ID_PERF || (facts & BIT(PERF_ENGINE));
}

enum ct_engine_id ct_engine_choose(u32 facts)
{
	enum ct_fact missing;
	enum ct_engine_id id;

	for (id = 0; id < CT_NR_ENGINE_IDS; id++)
		if (ct_engine_ability(id, facts, &missing) != CT_CANNOT)
			return id;
	return CT_ENGINE_ID_NONE;
}

/* The next better engine that there is; the chosen one itself where it is the best. */
static enum ct_engine_id better_than(enum ct_engine_id id, u32 facts)
{
	while (id > 0 && !ct_engine_is_built(--id, facts))
		;
	return id;
}

void ct_engine_explain(enum ct_engine_id chosen, u32 facts, char *ret_text, size_t len)
{
	enum ct_fact own = CT_NR_FACTS, wanted = CT_NR_FACTS;
	enum ct_engine_id better;

	if (chosen == CT_ENGINE_ID_NONE) {
		ct_engine_ability(CT_ENGINE_ID_CENSUS, facts, &own);
		snprintf(ret_text, len, "nothing can be recorded: %s; what would help: %s",
			 words[own].missing, words[own].remedy);
		return;
	}
	better = better_than(chosen, facts);
	ct_engine_ability(chosen, facts, &own);
	if (better != chosen)
		ct_engine_ability(better, facts, &wanted);
	if (wanted == CT_NR_FACTS && own == CT_NR_FACTS)
		snprintf(ret_text, len, "engine %s: %s%s", engines[chosen].name,
			 engines[chosen].gives, engines[chosen].costs);
	else if (wanted == CT_NR_FACTS)
		snprintf(ret_text, len, "engine %s: %s; %s, what would help: %s",
			 engines[chosen].name, engines[chosen].gives, words[own].missing,
			 words[own].remedy);
	else
		snprintf(ret_text, len, "engine %s: %s%s%s; %s would give %s, but %s: it takes %s",
			 engines[chosen].name, engines[chosen].gives,
			 own == CT_FACT_FRAMES ? ", counts in bounds" : "",
			 chosen == CT_ENGINE_ID_CENSUS ? ", no call sites" : "",
			 engines[better].name, engines[better].gives, words[wanted].missing,
			 words[wanted].remedy);
}
