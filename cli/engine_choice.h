/* SPDX-License-Identifier: MIT */
/*
 * Which engine can run, and which one `--engine auto` takes: a pure function of
 * what was found out.  Finding out is engine_facts.h's.
 */
#ifndef CT_CLI_ENGINE_CHOICE_H
#define CT_CLI_ENGINE_CHOICE_H

#include "base/base.h"

/* What works here.  A fact that was not looked for counts as missing. */
enum ct_fact {
	CT_FACT_MEMORY,	      /* shared memory */
	CT_FACT_SOCKET,	      /* abstract Unix sockets */
	CT_FACT_PAGEMAP,      /* a process's page map can be read */
	CT_FACT_DEVICE,	      /* /dev/userfaultfd opens */
	CT_FACT_USERFAULTFD,  /* and gives a userfaultfd */
	CT_FACT_FEATURES,     /* that has all that is asked for */
	CT_FACT_FORK_EVENTS,  /* fork events were granted */
	CT_FACT_PROTECT,      /* a page could be protected */
	CT_FACT_SCAN,	      /* PAGEMAP_SCAN */
	CT_FACT_RULE,	      /* the kernel's rule for copies is known */
	CT_FACT_PERF_ENGINE,  /* this build has the perf engine */
	CT_FACT_PERF_EVENTS,  /* page-fault events may be opened */
	CT_FACT_PERF_SIGNAL,  /* and signal the thread that faults */
	CT_FACT_PERF_BLOCKED, /* harmlessly, where it has the signal blocked */
	CT_FACT_FRAMES,	      /* page frames are shown */
	CT_FACT_PAGE_FLAGS,   /* /proc/kpageflags and kpagecount can be read */
	CT_FACT_CALL_FILE,    /* /proc/PID/task/TID/syscall can be read */
	CT_FACT_SIGNAL,	      /* a thread can be asked for its stack */
	CT_FACT_KILL,	      /* also one of another user's */
	CT_FACT_FILES,	      /* enough open files for every process that can be traced */
	CT_NR_FACTS,
};

#define CT_FACT_BIT(fact) (1u << (fact))
#define CT_ALL_FACTS ((1u << CT_NR_FACTS) - 1)

enum ct_engine_id {
	CT_ENGINE_ID_UFFD,
	CT_ENGINE_ID_PERF,
	CT_ENGINE_ID_CENSUS,
	CT_NR_ENGINE_IDS,
	CT_ENGINE_ID_NONE = CT_NR_ENGINE_IDS,
};

enum ct_ability {
	CT_CANNOT,
	CT_LESS, /* it runs, and tells less */
	CT_WHOLE,
};

/* "uffd", "perf", "census"; "none". */
const char *ct_engine_id_name(enum ct_engine_id id);

/*
 * Can this engine run with these facts (a bit for each)?  The first fact that it
 * misses goes to *ret_missing, CT_NR_FACTS where it misses none.
 */
enum ct_ability ct_engine_ability(enum ct_engine_id id, u32 facts, enum ct_fact *ret_missing);

/* Has this cowtrace that engine at all?  Where not, nobody is told of it. */
bool ct_engine_is_built(enum ct_engine_id id, u32 facts);

/* The best engine that can run: the first of the list above. */
enum ct_engine_id ct_engine_choose(u32 facts);

/* A clause for a missing fact: "/dev/userfaultfd cannot be opened". */
const char *ct_fact_missing(enum ct_fact fact);

/* What would give it, in a few words: "run cowtrace as root". */
const char *ct_fact_remedy(enum ct_fact fact);

/*
 * The choice in one line, without a full stop: what is recorded, what is not and
 * why, what would give more.
 */
void ct_engine_explain(enum ct_engine_id chosen, u32 facts, char *ret_text, size_t len);

#endif
