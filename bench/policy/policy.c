/* SPDX-License-Identifier: MIT */
/*
 * What a verdict and a ledger event cost, on one core; and the ledger's memory.
 * Prints one JSON line for each.  No assertion: a figure, with its command.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <time.h>

#include "ledger/ledger.h"

#define NR_VERDICTS 20000000U
#define NR_EVENTS 4000000U

static double now(void)
{
	struct timespec ts;

	/* Of this process: what else the machine does is not what is measured. */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* The states that a server's writes meet after a fork, in turn. */
static void make_states(struct cowtrace_page_state st[4])
{
	for (int i = 0; i < 4; i++)
		cowtrace_page_state_init(&st[i]);
	cowtrace_page_state_set(&st[1], COWTRACE_FIELD_MAPCOUNT, 2);
	cowtrace_page_state_set(&st[1], COWTRACE_FIELD_REFCOUNT, 2);
	cowtrace_page_state_set(&st[2], COWTRACE_FIELD_EXCLUSIVE, 1);
	cowtrace_page_state_set(&st[3], COWTRACE_FIELD_REFCOUNT, 2);
	cowtrace_page_state_set(&st[3], COWTRACE_FIELD_SWAPCACHE, 1);
}

static void verdicts(void)
{
	struct cowtrace_page_state st[4];

	make_states(st);
	for (unsigned int m = 0; m < COWTRACE_NR_MODELS; m++) {
		struct cowtrace_verdict v;
		size_t heap = mallinfo2().uordblks;
		double begin = now();
		unsigned int sum = 0;

		for (unsigned int i = 0; i < NR_VERDICTS; i++) {
			cowtrace_policy_judge(m, &st[i & 3], &v);
			sum += v.action;
		}
		printf("{\"bench\":\"verdict\",\"model\":\"%s\",\"per_second\":%.0f,"
		       "\"allocated\":%zu,\"check\":%u}\n",
		       cowtrace_model_get(m)->name, NR_VERDICTS / (now() - begin),
		       mallinfo2().uordblks - heap, sum);
	}
}

static struct ct_ledger *make(enum cowtrace_model_id model)
{
	struct ct_ledger_options opts = { .sz = sizeof(opts), .model = model };
	struct ct_ledger *l;

	if (ct_ledger_create(&opts, &l))
		return NULL;
	ct_ledger_spawn(l, 1);
	return l;
}

/* fork, single-page writes all over the heap, exit; and again. */
static void events(enum ct_backing backing, const char *name)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G6);
	struct ct_effect eff = { 0 };
	u64 seed = 1, pages = 1 << 18; /* 1 GiB */
	unsigned int n = 0;
	double begin;

	ct_ledger_map(l, 1, 1 << 20, pages, backing);
	ct_ledger_write(l, 1, 1 << 20, pages, &eff);
	begin = now();
	for (u32 child = 2; n < NR_EVENTS; child++) {
		ct_ledger_fork(l, 1, child, &eff);
		for (int i = 0; i < 200000; i++, n++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			ct_ledger_write(l, 1, (1 << 20) + (seed >> 33) % pages, 1, &eff);
		}
		ct_ledger_exit(l, child);
		n += 2;
	}
	printf("{\"bench\":\"ledger_events\",\"heap\":\"%s\",\"per_second\":%.0f,"
	       "\"bytes_per_page_after\":%.2f}\n",
	       name, n / (now() - begin), (double)ct_ledger_memory(l) / pages);
	ct_ledger_destroy(l);
}

/* A heap that is alike in 2 MiB units, and shared by a child. */
static void memory(enum ct_backing backing, const char *name)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G6);
	struct ct_effect eff = { 0 };
	u64 pages = 1 << 22; /* 16 GiB */

	ct_ledger_map(l, 1, 1 << 20, pages, backing);
	ct_ledger_write(l, 1, 1 << 20, pages, &eff);
	ct_ledger_fork(l, 1, 2, &eff);
	printf("{\"bench\":\"ledger_memory\",\"heap\":\"%s\",\"pages\":%" PRIu64
	       ",\"processes\":2,\"bytes_per_page\":%.3f}\n",
	       name, pages, (double)ct_ledger_memory(l) / pages);
	ct_ledger_destroy(l);
}

int main(void)
{
	verdicts();
	events(CT_BACK_SMALL, "4k");
	events(CT_BACK_THP, "thp");
	memory(CT_BACK_SMALL, "4k");
	memory(CT_BACK_MTHP64, "mthp64");
	memory(CT_BACK_THP, "thp");
	return 0;
}
