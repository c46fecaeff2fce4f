/* SPDX-License-Identifier: MIT */
/*
 * Reading a page map into an image.
 *
 * Each page's descriptor is a cache miss, and whatever makes the kernel look at
 * it costs a millisecond or ten a GiB (sys/pagemap.h): so it is done once a page,
 * by the read that brings its frame.  What is huge, and where a large VMA has
 * holes, is asked by scans that leave the descriptors alone.  Without
 * PAGEMAP_SCAN the private VMAs are read one by one and huge mappings are not
 * told apart.
 *
 * Not: what a page is for, or to whom it belongs.  Invariant: an image never
 * holds file pages, the zero page, or memory of ours.
 */
#include <errno.h>
#include <string.h>

#include "census/reading.h"

#define NR_RUNS 2048
#define NR_ENTRIES 16384 /* 64 MiB of address space a pread */
/* Reading over a hole this small is cheaper than another system call. */
#define GAP_PAGES 256
/*
 * The same between the pieces of a library: there lies code, and the kernel looks
 * at the descriptor of each page of it that the process has mapped.  A child that
 * was just born has mapped none yet: fork copies no page tables of files.
 */
#define CODE_GAP_PAGES 8

struct pass {
	struct ct_reader *r;
	const struct ct_reading_opts *o;
	struct ct_image_builder b;
	int fd;
	bool seen_any;
};

static int reader_prepare(struct ct_reader *r)
{
	if (!r->runs)
		r->runs = malloc(NR_RUNS * sizeof(*r->runs));
	if (!r->left)
		r->left = malloc(2 * NR_RUNS * sizeof(*r->left));
	if (!r->entries)
		r->entries = malloc(NR_ENTRIES * sizeof(*r->entries));
	r->nr_exclusive = 0;
	r->nr_alone = 0;
	return r->runs && r->left && r->entries ? 0 : -ENOMEM;
}

void ct_reader_fini(struct ct_reader *r)
{
	free(r->runs);
	free(r->left);
	free(r->entries);
	free(r->exclusive);
	memset(r, 0, sizeof(*r));
}

static ct_ent decode(const struct ct_kcaps *caps, u64 e)
{
	if ((e & (CT_PM_PRESENT | CT_PM_FILE)) == CT_PM_PRESENT) {
		u64 pfn = e & CT_PM_PFN_MASK;

		if (!caps->pfns)
			return e & CT_PM_EXCLUSIVE ? CT_ENT_EXCLUSIVE : CT_ENT_SHARED;
		/* PFN 0 is never user memory: a pagemap whose owner lost its rights. */
		if (pfn == 0 || pfn == caps->zero_pfn)
			return CT_ENT_NONE;
		return ct_ent_page(pfn);
	}
	if ((e & (CT_PM_PRESENT | CT_PM_SWAPPED | CT_PM_FILE)) == CT_PM_SWAPPED &&
	    !ct_pm_is_marker(e))
		return (e & CT_PM_PFN_MASK) << 2 | CT_ENT_TAG_SWAP;
	return CT_ENT_NONE;
}

/* Memory of ours within [page, page + nr) is not there. */
static void leave_out_own(const struct ct_reading_opts *o, u64 page, u64 *e, size_t nr)
{
	size_t i;

	for (i = 0; i < o->nr_own; i++) {
		u64 from = ct_max(ct_page_of(o->own[i].start), page);
		u64 to = ct_min(ct_page_of(ct_page_up(o->own[i].end)), page + nr);

		if (from < to)
			memset(e + (from - page), 0, (to - from) * sizeof(*e));
	}
}

static bool grow_exclusive(struct ct_reader *r)
{
	size_t cap = r->cap_exclusive ? r->cap_exclusive * 2 : 1024;
	u64 *v;

	if (cap > CT_READER_EXCLUSIVE_MAX)
		return false;
	v = realloc(r->exclusive, cap * sizeof(*v));
	if (!v)
		return false;
	r->exclusive = v;
	r->cap_exclusive = cap;
	return true;
}

static void note_alone(struct ct_reader *r, u64 page)
{
	r->nr_alone++;
	if (r->nr_exclusive == r->cap_exclusive && !grow_exclusive(r))
		return;
	r->exclusive[r->nr_exclusive++] = page;
}

/* Entries of one chunk. */
static void add_piece(struct pass *p, u64 page, const u64 *e, size_t nr, bool huge)
{
	ct_ent *to = ct_image_entries(&p->b, page, nr, huge);
	const struct ct_kcaps *caps = p->o->caps;
	size_t i;

	for (i = 0; i < nr; i++) {
		if (!e[i])
			continue;
		p->r->nr_read++;
		to[i] = decode(caps, e[i]);
		if ((e[i] & CT_PM_EXCLUSIVE) && ct_ent_is_page(to[i]))
			note_alone(p->r, page + i);
	}
}

static void add_entries(struct pass *p, u64 page, u64 *e, size_t nr, bool huge)
{
	leave_out_own(p->o, page, e, nr);
	while (nr) {
		size_t n = ct_min(nr, (size_t)(CT_HUGE_PAGES - page % CT_HUGE_PAGES));

		add_piece(p, page, e, n, huge);
		page += n;
		e += n;
		nr -= n;
	}
}

/* Reads [page, page + nr), holes included. */
static int read_span(struct pass *p, u64 page, u64 nr, bool huge)
{
	while (nr) {
		ssize_t n =
			ct_pagemap_read(p->fd, page, ct_min(nr, (u64)NR_ENTRIES), p->r->entries);

		if (n <= 0)
			return n ? (int)n : -ESRCH;
		p->seen_any = true;
		add_entries(p, page, p->r->entries, (size_t)n, huge);
		page += (u64)n;
		nr -= (u64)n;
		if (p->o->tick && n == NR_ENTRIES)
			p->o->tick(p->o->tick_arg);
	}
	return 0;
}

static bool run_is_huge(const struct ct_scan_run *run)
{
	return run->categories & CT_SCAN_HUGE;
}

/* Reads runs[0..nr), neighbours in one go. */
static int read_runs(struct pass *p, const struct ct_scan_run *runs, size_t nr)
{
	/* Without PFNs the zero page cannot be told from others: read no more than was listed. */
	const u64 gap = p->o->caps->pfns ? GAP_PAGES * CT_PAGE_SIZE : 0;
	size_t i, k;

	for (i = 0; i < nr; i = k) {
		u64 start = runs[i].start, end = runs[i].end;
		int err;

		for (k = i + 1; k < nr; k++) {
			if (run_is_huge(&runs[k]) != run_is_huge(&runs[i]) ||
			    runs[k].start - end > gap)
				break;
			end = runs[k].end;
		}
		err = read_span(p, ct_page_of(start), ct_page_of(end - start),
				run_is_huge(&runs[i]));
		if (err)
			return err;
	}
	return 0;
}

/* Takes what the plan leaves out away from runs[0..nr); returns how many remain, in out. */
static size_t leave_out(const struct ct_plan *plan, const struct ct_scan_run *runs, size_t nr,
			struct ct_scan_run *out, size_t cap)
{
	const struct ct_plan_range *v = plan->leave_out;
	u32 k = nr ? ct_plan_seek(v, plan->nr_leave_out, runs[0].start) : 0;
	size_t i, n = 0;

	for (i = 0; i < nr; i++) {
		u64 at = runs[i].start;

		while (k < plan->nr_leave_out && v[k].end <= at)
			k++;
		while (at < runs[i].end && n < cap) {
			u64 end = runs[i].end;

			if (k < plan->nr_leave_out && v[k].start <= at) {
				at = ct_min(end, v[k].end);
				k += v[k].end <= at;
				continue;
			}
			if (k < plan->nr_leave_out && v[k].start < end)
				end = v[k].start;
			out[n++] = (struct ct_scan_run){ at, end, runs[i].categories };
			at = end;
		}
	}
	return n;
}

/*
 * [start, end) with anything in it, file mappings too.  What is mapped is listed
 * without a look at the pages; what is not left out is read, and the read tells
 * whose it is.  Without PFNs the read cannot tell the zero page: then the listing
 * must, and takes its time.
 */
static int read_mixed(struct pass *p, u64 start, u64 end)
{
	struct ct_reader *r = p->r;
	const bool pfns = p->o->caps->pfns;

	while (start < end) {
		ssize_t nr =
			pfns ? ct_pagemap_scan_mapped(p->fd, start, end, r->runs, NR_RUNS, &start)
			     : ct_pagemap_scan_anon(p->fd, start, end, r->runs, NR_RUNS, &start);
		size_t left;
		int err;

		if (nr < 0)
			return (int)nr;
		p->seen_any |= nr > 0;
		left = leave_out(p->o->plan, r->runs, (size_t)nr, r->left, 2 * NR_RUNS);
		err = read_runs(p, r->left, left);
		if (err)
			return err;
	}
	return 0;
}

/*
 * [start, end) of a private anonymous VMA, not huge.  What is populated mostly
 * lies together: reads block after block, and passes over a hole when it meets
 * one.
 */
static int read_dense(struct pass *p, u64 start, u64 end)
{
	int err;

	while (start < end) {
		u64 len;

		err = ct_pagemap_next(p->fd, start, end, &start);
		if (err || start >= end)
			return err;
		do {
			len = ct_min(end - start, (u64)NR_ENTRIES * CT_PAGE_SIZE);
			p->r->nr_read = 0;
			err = read_span(p, ct_page_of(start), ct_page_of(len), false);
			if (err)
				return err;
			start += len;
		} while (start < end && p->r->nr_read);
	}
	return 0;
}

/* Large private anonymous memory: what is huge is listed first, for next to nothing. */
static int read_large(struct pass *p, u64 start, u64 end)
{
	u64 at = start, next = start;

	while (next < end) {
		ssize_t i, nr = ct_pagemap_scan_huge(p->fd, next, end, p->r->runs, NR_RUNS, &next);
		int err = nr < 0 ? (int)nr : 0;

		for (i = 0; !err && i < nr; i++) {
			const struct ct_scan_run *run = &p->r->runs[i];

			err = read_dense(p, at, run->start);
			if (!err)
				err = read_span(p, ct_page_of(run->start),
						ct_page_of(run->end - run->start), true);
			at = run->end;
		}
		if (err)
			return err;
	}
	return read_dense(p, at, end);
}

/*
 * [start, end), of which the plan says at most that it can be left out.  Where
 * the plan is older than the memory something may lie in what no VMA held then.
 */
static int read_unplanned(struct pass *p, u64 start, u64 end)
{
	const struct ct_plan *plan = p->o->plan;
	u32 i = ct_plan_seek(plan->leave_out, plan->nr_leave_out, start);
	int err = 0;

	if (p->o->plan_is_current)
		return 0;
	for (; i < plan->nr_leave_out && plan->leave_out[i].start < end && !err; i++) {
		if (plan->leave_out[i].start > start)
			err = read_mixed(p, start, plan->leave_out[i].start);
		start = plan->leave_out[i].end;
	}
	return err || start >= end ? err : read_mixed(p, start, end);
}

/*
 * A piece of the plan, or neighbours in one go.  It may be a large file mapping
 * that is written to, of which little is the process's own.
 */
static int read_piece(struct pass *p, u64 start, u64 end)
{
	if (end - start > 2 * CT_HUGE_SIZE)
		return read_mixed(p, start, end);
	return read_span(p, ct_page_of(start), ct_page_of(end - start), false);
}

/* [start, end) without large anonymous memory, as the plan says; needs PFNs. */
static int read_planned(struct pass *p, u64 start, u64 end)
{
	const struct ct_plan *plan = p->o->plan;
	const u64 gap = (p->o->newborn ? GAP_PAGES : CODE_GAP_PAGES) * CT_PAGE_SIZE;
	u32 i = ct_plan_seek(plan->small, plan->nr_small, start), k;

	for (; i < plan->nr_small && plan->small[i].start < end; i = k) {
		u64 from = plan->small[i].start, to = plan->small[i].end;
		int err;

		for (k = i + 1; k < plan->nr_small && plan->small[k].start < end &&
				plan->small[k].start - to <= gap;
		     k++)
			to = plan->small[k].end;
		err = read_unplanned(p, start, from);
		if (!err)
			err = read_piece(p, from, to);
		if (err)
			return err;
		start = to;
	}
	return read_unplanned(p, start, end);
}

/* What lies between large anonymous memory. */
static int read_between(struct pass *p, u64 start, u64 end)
{
	/* Without PFNs only a scan tells the zero page from others. */
	return p->o->caps->pfns ? read_planned(p, start, end) : read_mixed(p, start, end);
}

/* The whole address space: large anonymous memory by itself, and what lies between. */
static int read_by_scan(struct pass *p)
{
	const struct ct_plan *plan = p->o->plan;
	u64 at = 0;
	u32 i;
	int err = 0;

	for (i = 0; i < plan->nr_large && !err; i++) {
		err = read_between(p, at, plan->large[i].start);
		if (!err)
			err = read_large(p, plan->large[i].start, plan->large[i].end);
		at = plan->large[i].end;
	}
	return err ? err : read_between(p, at, CT_USER_END);
}

static int read_by_maps(struct pass *p)
{
	const struct ct_maps *m = p->o->maps;
	size_t i;

	for (i = 0; i < m->nr; i++) {
		const struct ct_vma *v = &m->vmas[i];
		int err;

		if (v->shared || v->start >= CT_USER_END)
			continue;
		err = read_span(p, ct_page_of(v->start), ct_page_of(v->end - v->start), false);
		if (err)
			return err;
	}
	return 0;
}

int ct_reading_take(struct ct_reader *r, int pagemap_fd, const struct ct_reading_opts *opts,
		    struct ct_image **ret_img)
{
	struct pass p = { .r = r, .o = opts, .fd = pagemap_fd };
	int err;

	err = reader_prepare(r);
	if (err)
		return err;
	err = ct_image_begin(&p.b, opts->base);
	if (err)
		return err;
	err = opts->caps->pagemap_scan ? read_by_scan(&p) : read_by_maps(&p);
	/* Memory that has gone reads as nothing at all: that is no image of anything. */
	if (!err && !p.seen_any)
		err = -ESRCH;
	if (err) {
		ct_image_unref(p.b.img);
		return err;
	}
	return ct_image_finish(&p.b, ret_img);
}

int ct_reading_pages(int pagemap_fd, const struct ct_kcaps *caps, const u64 *pages, size_t nr,
		     ct_ent *ret_ents)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		u64 e;
		ssize_t n = ct_pagemap_read(pagemap_fd, pages[i], 1, &e);

		if (n < 0)
			return (int)n;
		ret_ents[i] = n ? decode(caps, e) : CT_ENT_NONE;
	}
	return 0;
}
