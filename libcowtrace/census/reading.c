/* SPDX-License-Identifier: MIT */
/*
 * Reading a page map into an image.
 *
 * PAGEMAP_SCAN lists the anonymous pages of the whole address space in one
 * system call, huge mappings told apart, whatever reserves and file mappings lie
 * between; only those are then read for their PFNs.  Without it, the private
 * VMAs are read one by one and huge mappings are not told apart.
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
#define GAP_PAGES 64
#define END_OF_USER 0x7ffffffff000ULL

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
	if (!r->entries)
		r->entries = malloc(NR_ENTRIES * sizeof(*r->entries));
	if (!r->exclusive)
		r->exclusive = malloc(CT_READER_EXCLUSIVE_MAX * sizeof(*r->exclusive));
	r->nr_exclusive = 0;
	r->nr_alone = 0;
	return r->runs && r->entries && r->exclusive ? 0 : -ENOMEM;
}

void ct_reader_fini(struct ct_reader *r)
{
	free(r->runs);
	free(r->entries);
	free(r->exclusive);
	memset(r, 0, sizeof(*r));
}

static ct_ent decode(const struct ct_kcaps *caps, u64 e)
{
	if (e & CT_PM_PRESENT) {
		u64 pfn = e & CT_PM_PFN_MASK;

		if (e & CT_PM_FILE)
			return CT_ENT_NONE;
		if (!caps->pfns)
			return e & CT_PM_EXCLUSIVE ? CT_ENT_EXCLUSIVE : CT_ENT_SHARED;
		/* PFN 0 is never user memory: a pagemap whose owner lost its rights. */
		if (pfn == 0 || pfn == caps->zero_pfn)
			return CT_ENT_NONE;
		return ct_ent_page(pfn);
	}
	if ((e & CT_PM_SWAPPED) && !(e & CT_PM_FILE))
		return (e & CT_PM_PFN_MASK) << 2 | CT_ENT_TAG_SWAP;
	return CT_ENT_NONE;
}

static bool is_own(const struct ct_reading_opts *o, u64 addr)
{
	size_t i;

	for (i = 0; i < o->nr_own; i++)
		if (addr >= o->own[i].start && addr < o->own[i].end)
			return true;
	return false;
}

static void note_exclusive(struct ct_reader *r, u64 page)
{
	if (r->nr_exclusive < CT_READER_EXCLUSIVE_MAX)
		r->exclusive[r->nr_exclusive++] = page;
	r->nr_alone++;
}

static void add_entries(struct pass *p, u64 page, const u64 *e, size_t nr, bool huge)
{
	const struct ct_kcaps *caps = p->o->caps;
	size_t i;

	for (i = 0; i < nr; i++) {
		ct_ent ent;

		if (!e[i] || !(ent = decode(caps, e[i])))
			continue;
		if (p->o->nr_own && is_own(p->o, ct_addr_of(page + i)))
			continue;
		ct_image_add(&p->b, page + i, ent, huge);
		if ((e[i] & CT_PM_EXCLUSIVE) && ct_ent_is_page(ent))
			note_exclusive(p->r, page + i);
	}
}

/* Reads [page, page + nr), holes included. */
static int read_span(struct pass *p, u64 page, u64 nr, bool huge)
{
	while (nr) {
		ssize_t n = ct_pagemap_read(p->fd, page, ct_min(nr, (u64)NR_ENTRIES),
					    p->r->entries);

		if (n <= 0)
			return n ? (int)n : -ESRCH;
		p->seen_any = true;
		add_entries(p, page, p->r->entries, (size_t)n, huge);
		page += (u64)n;
		nr -= (u64)n;
		if (p->o->tick)
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

static int read_by_scan(struct pass *p)
{
	u64 at = 0;

	while (at < END_OF_USER) {
		ssize_t nr = ct_pagemap_scan_anon(p->fd, at, END_OF_USER, p->r->runs, NR_RUNS, &at);
		int err;

		if (nr < 0)
			return (int)nr;
		err = read_runs(p, p->r->runs, (size_t)nr);
		if (err)
			return err;
	}
	return 0;
}

static int read_by_maps(struct pass *p)
{
	const struct ct_maps *m = p->o->maps;
	size_t i;

	for (i = 0; i < m->nr; i++) {
		const struct ct_vma *v = &m->vmas[i];
		int err;

		if (v->shared || v->start >= END_OF_USER)
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
	if (opts->caps->pagemap_scan)
		err = read_by_scan(&p);
	else
		err = opts->maps ? read_by_maps(&p) : -EINVAL;
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
