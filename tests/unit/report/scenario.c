/* SPDX-License-Identifier: MIT */
/* The trace of scenario.h.  Numbers are chosen so that no two sums are equal by chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "scenario.h"

#define SEC CT_NSEC_PER_SEC
#define MSEC CT_NSEC_PER_MSEC

static void put(struct ct_store *s, struct ct_rec rec)
{
	if (ct_store_put(s, &rec))
		fail_msg("put: %s", ct_store_error(s));
}

static void put_processes(struct ct_store *s)
{
	put(s, (struct ct_rec){ CT_REC_PROCESS,
				.process = { 1, 0, 100, 1, "server", "/opt/server", 0 } });
	put(s, (struct ct_rec){ CT_REC_PROCESS,
				.process = { 2, 1, 101, 100, "server", "/opt/server", SEC } });
	put(s, (struct ct_rec){ CT_REC_PROCESS,
				.process = { 3, 1, 102, 100, "wor\xffker", NULL, 2 * SEC } });
	put(s, (struct ct_rec){ CT_REC_PROCESS,
				.process = { 4, 2, 103, 101, "helper", "/opt/helper", 3 * SEC } });
	put(s, (struct ct_rec){ CT_REC_PROCESS,
				.process = { 5, 4, 103, 101, "tool", "/opt/tool", 4 * SEC } });
	put(s, (struct ct_rec){ CT_REC_PROCESS,
				.process = { 6, 1, 104, 100, "server", "/opt/server", 5 * SEC } });
	put(s, (struct ct_rec){ CT_REC_PROCESS_END,
				.process_end = { 2, CT_ENDED_EXIT, 4 * SEC, 256 } });
	put(s, (struct ct_rec){ CT_REC_PROCESS_END,
				.process_end = { 3, CT_ENDED_KILLED, 5 * SEC / 2, 9 } });
	put(s, (struct ct_rec){ CT_REC_PROCESS_END,
				.process_end = { 4, CT_ENDED_EXEC, 4 * SEC, -1 } });
	put(s,
	    (struct ct_rec){ CT_REC_PROCESS_END, .process_end = { 5, CT_ENDED_EXIT, 6 * SEC, 0 } });
}

static void put_sites(struct ct_store *s)
{
	/* fork() in libc, called by app+0x100, called by app+0x200 or app+0x300. */
	struct ct_rec_frame by_200[] = { { 1, 0x50 }, { 2, 0x100 }, { 2, 0x200 } };
	struct ct_rec_frame by_300[] = { { 1, 0x50 }, { 2, 0x100 }, { 2, 0x300 } };
	struct ct_rec_frame mapped[] = { { 3, 0x10 }, { 0, 0x7f1234567890 } };

	put(s, (struct ct_rec){ CT_REC_MODULE, .module = { 1, "/none/libc.so.6", { 1, 2 }, 2 } });
	put(s, (struct ct_rec){ CT_REC_MODULE, .module = { 2, "/none/app", { 0 }, 0 } });
	put(s,
	    (struct ct_rec){ CT_REC_MODULE, .module = { 3, "/none/libjemalloc.so.2", { 0 }, 0 } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 1, 3, by_200 } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 2, 3, by_300 } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 3, 2, mapped } });
}

static void put_fork(struct ct_store *s, u32 id, u32 parent, u32 child, s32 child_pid, u32 site,
		     u64 pages, u64 huge)
{
	put(s, (struct ct_rec){ CT_REC_FORK, .fork = { .id = id,
						       .parent = parent,
						       .child = child,
						       .child_pid = child_pid,
						       .site = site,
						       .phase = id == 1 ? "serve" : "",
						       .how = "fork",
						       .start_ns = id * SEC,
						       .hold_ns = 2 * MSEC,
						       .pages_shared = pages,
						       .huge_pages_shared = huge } });
	put(s, (struct ct_rec){ CT_REC_FORK_TIMES, .fork_times = { id, id * MSEC, 30, 40 } });
}

static void put_side(struct ct_store *s, u32 fork, enum ct_side side, enum ct_side_end end,
		     u64 copied, u64 dropped, u64 fresh)
{
	bool known = copied != CT_UNKNOWN;

	put(s, (struct ct_rec){ CT_REC_SIDE,
				.side = { fork, side, end, (fork + 1) * SEC, copied, dropped, fresh,
					  known ? 1 : CT_UNKNOWN, known ? 10 : CT_UNKNOWN, 0 } });
}

static void put_forks(struct ct_store *s)
{
	put_fork(s, 1, 1, 2, 101, 1, 2000, 1024);
	put_side(s, 1, CT_SIDE_PARENT, CT_SIDE_END_NEXT_FORK, 300, 20, 0);
	put_side(s, 1, CT_SIDE_CHILD, CT_SIDE_END_EXIT, 70, 5, 33);
	put(s, (struct ct_rec){ CT_REC_FORK_END, .fork_end = { 1, 4 * SEC, 370, 372 } });
	put_fork(s, 2, 1, 3, 102, 1, 1900, 0);
	put_side(s, 2, CT_SIDE_PARENT, CT_SIDE_END_RELATIVE_GONE, 11, 0, 2);
	put_side(s, 2, CT_SIDE_CHILD, CT_SIDE_END_KILLED, CT_UNKNOWN, CT_UNKNOWN, CT_UNKNOWN);
	put(s, (struct ct_rec){ CT_REC_FORK_END, .fork_end = { 2, 5 * SEC / 2, 11, CT_UNKNOWN } });
	put_fork(s, 3, 2, 4, 103, 1, 800, 0);
	put_side(s, 3, CT_SIDE_PARENT, CT_SIDE_END_EXIT, 7, 0, 0);
	put_side(s, 3, CT_SIDE_CHILD, CT_SIDE_END_EXEC, 3, 0, 0);
	put(s, (struct ct_rec){ CT_REC_FORK_END, .fork_end = { 3, 4 * SEC, 10, 10 } });
	/* Not over: no end, nothing read of the child. */
	put_fork(s, 5, 1, 6, 104, 2, 1500, 0);
	put_side(s, 5, CT_SIDE_PARENT, CT_SIDE_END_OPEN, 100, 0, 0);
}

static void put_count(struct ct_store *s, u32 fork, u32 region, enum ct_side side, u64 shared,
		      u64 copied, u64 dropped)
{
	put(s, (struct ct_rec){ CT_REC_REGION_COUNT,
				.region_count = { fork, region, side, shared, 0, copied, dropped, 4,
						  copied == CT_UNKNOWN ? CT_UNKNOWN : 0 } });
}

static void put_regions(struct ct_store *s)
{
	put(s,
	    (struct ct_rec){ CT_REC_REGION, .region = { 1, 1, 0x10000000, 0x10800000, CT_KIND_HEAP,
							"dict", true, 3, CT_THP_HUGEPAGE,
							CT_KSM_MERGEABLE, CT_FORK_UNSET, 5 } });
	put(s,
	    (struct ct_rec){ CT_REC_REGION, .region = { 2, 2, 0x10000000, 0x10800000, CT_KIND_HEAP,
							"dict", true, 3, CT_THP_HUGEPAGE,
							CT_KSM_MERGEABLE, CT_FORK_UNSET, 5 } });
	put(s, (struct ct_rec){ CT_REC_REGION,
				.region = { 3, 1, 0x7000, 0x9000, CT_KIND_STACK, "[stack]" } });
	put(s, (struct ct_rec){ CT_REC_REGION,
				.region = { 4, 1, 0xa000, 0xb000, CT_KIND_COWTRACE, "ours" } });
	put(s,
	    (struct ct_rec){ CT_REC_REGION, .region = { 5, 3, 0xc000, 0xd000, CT_KIND_BSS, "" } });
	put_count(s, 1, 1, CT_SIDE_PARENT, 1990, 290, 20);
	put_count(s, 1, 3, CT_SIDE_PARENT, 10, 10, 0);
	put_count(s, 1, 2, CT_SIDE_CHILD, 1990, 70, 5);
	put_count(s, 2, 1, CT_SIDE_PARENT, 1890, 11, 0);
	put_count(s, 2, 5, CT_SIDE_CHILD, 10, CT_UNKNOWN, CT_UNKNOWN);
	/* Both sides' rows on one region: shared counts once. */
	put_count(s, 3, 2, CT_SIDE_PARENT, 800, 7, 0);
	put_count(s, 3, 2, CT_SIDE_CHILD, 800, 3, 0);
}

static void put_rest(struct ct_store *s)
{
	put(s, (struct ct_rec){ CT_REC_TIMELINE,
				.timeline = { 1100 * MSEC, 1, CT_SIDE_PARENT, 100 } });
	put(s,
	    (struct ct_rec){ CT_REC_TIMELINE, .timeline = { 1900 * MSEC, 1, CT_SIDE_PARENT, 50 } });
	put(s,
	    (struct ct_rec){ CT_REC_TIMELINE, .timeline = { 1950 * MSEC, 1, CT_SIDE_CHILD, 70 } });
	put(s,
	    (struct ct_rec){ CT_REC_TIMELINE, .timeline = { 2500 * MSEC, 2, CT_SIDE_PARENT, 11 } });
	put(s,
	    (struct ct_rec){ CT_REC_WITNESS, .witness = { 2, 1, 4 * SEC, 103 * 4096, 103, "" } });
	put(s, (struct ct_rec){ CT_REC_WITNESS,
				.witness = { 2, 1, 3 * SEC, 1 * 4096, 1, "an older one" } });
	put(s, (struct ct_rec){ CT_REC_WITNESS,
				.witness = { 1, 0, 6 * SEC, 4096000, 700, "differs" } });
	put(s, (struct ct_rec){ CT_REC_NOTE, .note = { 7, 0, "warning", "torn", "a note" } });
	put(s, (struct ct_rec){ CT_REC_NOTE, .note = { 8, 3, "info", "why", "of a process" } });
}

void scenario_put(struct ct_store *s)
{
	char *command[] = { "server", "--flag", "", NULL };

	if (ct_store_put_command(s, command))
		fail_msg("command: %s", ct_store_error(s));
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "engine", "census" } });
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "kernel", "6.1.0" } });
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "page_frames", "1" } });
	put_processes(s);
	put_sites(s);
	put_forks(s);
	put_regions(s);
	put_rest(s);
}

static void finish(const char *path, void (*more)(struct ct_store *))
{
	struct ct_store *s;
	struct ct_err err;

	if (ct_store_create(path, &s, &err))
		fail_msg("%s", err.text);
	scenario_put(s);
	if (more)
		more(s);
	if (ct_store_finish(s, NULL, &err))
		fail_msg("%s", err.text);
}

void scenario_write(const char *path)
{
	finish(path, NULL);
}

void scenario_write_watched(const char *path)
{
	finish(path, scenario_put_writes);
}
