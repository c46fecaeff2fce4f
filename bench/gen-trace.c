/* SPDX-License-Identifier: MIT */
/*
 * Writes a trace as a recorder would, of any size: a server that forks, with
 * regions, counts, growth and witnesses, and on request each first write.  For
 * measuring and testing readers; the numbers are made up, but consistent: sums over
 * regions are the sides' totals, and every page that was copied has a write.
 *
 * Invariant: the same arguments give the same rows.
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cowtrace/policy.h>

#include "store/store.h"

#define NR_SITES 200
#define NR_FRAMES 12

/* Deterministic, and the same on every libc. */
static u64 random_state = 42;

static u32 below(u32 n)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (u32)((random_state >> 33) % n);
}

static void put(struct ct_store *s, struct ct_rec rec)
{
	if (ct_store_put(s, &rec))
		errx(1, "%s", ct_store_error(s));
}

static void put_modules_and_sites(struct ct_store *s)
{
	char path[64];

	for (u32 i = 1; i <= 20; i++) {
		snprintf(path, sizeof(path), "/opt/gen/lib/libgen%u.so", i);
		put(s, (struct ct_rec){ CT_REC_MODULE, .module = { .id = i, .path = path } });
	}
	for (u32 i = 1; i <= NR_SITES; i++) {
		struct ct_rec_frame frames[NR_FRAMES];

		for (u32 n = 0; n < NR_FRAMES; n++)
			frames[n] = (struct ct_rec_frame){ 1 + below(20), 0x1000 + below(1 << 20) };
		put(s, (struct ct_rec){ CT_REC_SITE, .site = { i, NR_FRAMES, frames } });
	}
}

static u64 region_start(u32 id)
{
	return 0x7f0000000000ULL + (u64)id * 0x200000;
}

static void put_region(struct ct_store *s, u32 id, u32 process)
{
	static const char *const names[] = { "", "/usr/lib/x86_64-linux-gnu/libc.so.6", "[heap]",
					     "dict.ht_table", "arena" };
	u64 start = region_start(id);

	put(s, (struct ct_rec){ CT_REC_REGION, .region = { .id = id,
							   .process = process,
							   .start = start,
							   .end = start + 256 * CT_PAGE_SIZE,
							   .kind = below(CT_KIND_SHARED),
							   .name = names[below(5)],
							   .tagged = below(2),
							   .site = 1 + below(NR_SITES),
							   .thp = below(4),
							   .t_ns = id * 1000ULL } });
}

/* The first writes of a side: where it is, and what of it has no site. */
struct writer {
	struct ct_store *s;
	u32 fork, process;
	enum ct_side side;
	u64 t_ns;
	u64 lost[CT_NO_SITE_NR];
};

/* One write in fifty has no stack; one in seven is a system call's. */
static void put_write(struct writer *w, u64 page, enum cowtrace_action observed)
{
	bool lost = !below(50), kernel = !below(7), copy = observed == COWTRACE_COPY;
	struct ct_rec r = { CT_REC_WRITE };

	r.write.process = w->process;
	r.write.fork = w->fork;
	r.write.side = w->side;
	r.write.t_ns = w->t_ns += 100 + below(2000);
	r.write.page = page;
	r.write.pages = 1;
	r.write.site = lost ? 0 : 1 + below(1 + below(NR_SITES)); /* some are hot */
	r.write.no_site = !lost ? CT_SITE_KNOWN : kernel ? CT_NO_KERNEL_WRITE : CT_NO_STACK;
	r.write.access = kernel ? CT_ACCESS_KERNEL : CT_ACCESS_USER;
	r.write.syscall = kernel ? (s32)below(2) : -1;
	r.write.pc = 0x7f0000000000ULL + below(1 << 20);
	r.write.predicted = below(1000) ? observed : COWTRACE_UNCERTAIN;
	if (!below(20000))
		r.write.predicted = copy ? COWTRACE_REUSE : COWTRACE_COPY;
	r.write.observed = below(5000) ? observed : COWTRACE_UNCERTAIN;
	r.write.reason = copy ? COWTRACE_REASON_EARLY_REFCOUNT : COWTRACE_REASON_ANON_EXCLUSIVE;
	r.write.decides = COWTRACE_FIELD_REFCOUNT;
	r.write.likely = observed;
	put(w->s, r);
	if (lost && copy)
		w->lost[r.write.no_site]++;
}

/* A region's first `copied` pages were copied, and a few behind them written in place. */
static void put_writes(struct writer *w, u32 region, u32 pages, u32 copied)
{
	u64 first = region_start(region) / CT_PAGE_SIZE;

	if (!w->s)
		return;
	for (u32 i = 0; i < copied; i++)
		put_write(w, first + i, COWTRACE_COPY);
	for (u32 i = copied; i < pages && i < copied + copied / 8; i++)
		put_write(w, first + i, COWTRACE_REUSE);
}

/* Says how many of a side's copies have no site; what is left has one. */
static u64 put_lost(const struct writer *w, u64 copied)
{
	if (!w->s)
		return 0;
	for (int i = 0; i < CT_NO_SITE_NR; i++) {
		if (w->lost[i])
			put(w->s,
			    (struct ct_rec){ CT_REC_UNATTRIBUTED,
					     .unattributed = { w->fork, w->side, i, w->lost[i] } });
		copied -= w->lost[i];
	}
	return copied;
}

/* A fork whose child has `regions` of the ids from `first` on. */
static void put_fork(struct ct_store *s, u32 id, u32 first, u32 regions, bool writes)
{
	u64 start = id * 50000000ULL, shared = 0, copied = 0, dropped = 0, parent_copied = 0;
	u32 child = id + 1;
	struct ct_store *to = writes ? s : NULL;
	struct writer of_child = { to, id, child, CT_SIDE_CHILD, start };
	struct writer of_parent = { to, id, 1, CT_SIDE_PARENT, start };

	put(s,
	    (struct ct_rec){ CT_REC_PROCESS, .process = { child, 1, (s32)(1000 + child), 1001,
							  "server", "/opt/gen/server", start } });
	for (u32 i = 0; i < regions; i++) {
		u32 pages = 1 + below(256), c = below(pages), d = below(pages - c + 1),
		    p = below(pages);

		put_region(s, first + i, child);
		put(s, (struct ct_rec){
			       CT_REC_REGION_COUNT,
			       .region_count = { id, first + i, CT_SIDE_CHILD, pages, 0, c, d } });
		put_writes(&of_child, first + i, pages, c);
		shared += pages;
		copied += c;
		dropped += d;
		/* The parent has 100 regions. */
		if (i >= 100)
			continue;
		put(s,
		    (struct ct_rec){ CT_REC_REGION_COUNT,
				     .region_count = { id, 1 + i, CT_SIDE_PARENT, pages, 0, p } });
		put_writes(&of_parent, 1 + i, pages, p);
		parent_copied += p;
	}
	put(s, (struct ct_rec){ CT_REC_FORK, .fork = { .id = id,
						       .parent = 1,
						       .child = child,
						       .child_pid = (s32)(1000 + child),
						       .site = 1 + id % 7,
						       .phase = "serve",
						       .how = "fork",
						       .start_ns = start,
						       .hold_ns = 100000,
						       .pages_shared = shared } });
	put(s, (struct ct_rec){ CT_REC_FORK_TIMES,
				.fork_times = { id, 200000 + below(100000), 5000 } });
	put(s, (struct ct_rec){ CT_REC_SIDE,
				.side = { id, CT_SIDE_CHILD, CT_SIDE_END_EXIT, start, copied,
					  dropped, below(1000), 0, shared - copied - dropped,
					  put_lost(&of_child, copied) } });
	put(s,
	    (struct ct_rec){ CT_REC_SIDE, .side = { id, CT_SIDE_PARENT, CT_SIDE_END_RELATIVE_GONE,
						    start, parent_copied, 0, 0, 0, shared,
						    put_lost(&of_parent, parent_copied) } });
	put(s, (struct ct_rec){ CT_REC_FORK_END,
				.fork_end = { id, start + 900000000, copied + parent_copied,
					      copied + parent_copied } });
	for (u32 i = 0; i < 3; i++)
		put(s, (struct ct_rec){ CT_REC_TIMELINE, .timeline = { start + i * 400000000ULL, id,
								       i & 1, copied / 3 } });
	put(s, (struct ct_rec){ CT_REC_WITNESS, .witness = { child, id, start,
							     copied * CT_PAGE_SIZE, copied, "" } });
	put(s, (struct ct_rec){ CT_REC_PROCESS_END,
				.process_end = { child, CT_ENDED_EXIT, start + 900000000, 0 } });
}

int main(int argc, char **argv)
{
	char *command[] = { "server", "--generated", NULL };
	u32 forks, regions;
	struct ct_store *s;
	struct ct_err e;
	bool writes = argc == 5 && !strcmp(argv[4], "writes");

	if (argc != 4 && !writes)
		errx(2, "usage: gen-trace OUTPUT FORKS REGIONS [writes]");
	forks = (u32)atoi(argv[2]);
	regions = (u32)atoi(argv[3]);
	if (!forks || regions < 100)
		errx(2, "at least one fork and 100 regions");
	if (ct_store_create(argv[1], &s, &e))
		errx(1, "%s", e.text);
	if (ct_store_put_command(s, command))
		errx(1, "%s", ct_store_error(s));
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "engine", writes ? "uffd" : "census" } });
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "page_frames", "1" } });
	if (writes) {
		put(s, (struct ct_rec){ CT_REC_META, .meta = { "fault_copy_ns", "1900" } });
		put(s, (struct ct_rec){ CT_REC_META, .meta = { "fault_reuse_ns", "800" } });
		put(s, (struct ct_rec){ CT_REC_META, .meta = { "fault_huge_ns", "13000" } });
	}
	put_modules_and_sites(s);
	put(s, (struct ct_rec){ CT_REC_PROCESS,
				.process = { 1, 0, 1001, 1, "server", "/opt/gen/server", 0 } });
	for (u32 i = 1; i <= 100; i++)
		put_region(s, i, 1);
	for (u32 i = 1; i <= forks; i++)
		put_fork(s, i, 101 + (i - 1) * ((regions - 100) / forks), (regions - 100) / forks,
			 writes);
	if (ct_store_finish(s, NULL, &e))
		errx(1, "%s", e.text);
	return 0;
}
