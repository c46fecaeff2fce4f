/* SPDX-License-Identifier: MIT */
/*
 * Plans for reading.
 *
 * A server maps a hundred libraries, and most of what it maps there is code: the
 * kernel would look at each page's descriptor only to say that it is a file's.
 * Code is left out after one look has shown that nobody wrote to it.
 *
 * Invariant: a writable private mapping is never left out.
 */
#include <errno.h>
#include <string.h>

#include "census/plan.h"

#define NR_RUNS 1024

void ct_plan_fini(struct ct_plan *p)
{
	free(p->large);
	free(p->leave_out);
	free(p->small);
	memset(p, 0, sizeof(*p));
}

u32 ct_plan_seek(const struct ct_plan_range *v, u32 nr, u64 addr)
{
	u32 lo = 0, hi = nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (v[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_large(const struct ct_vma *v)
{
	return !v->shared && !v->ino && v->end - v->start >= CT_HUGE_SIZE;
}

static bool may_be_left_out(const struct ct_vma *v)
{
	return v->shared || (v->ino && !v->w);
}

/* Adds a range; neighbours become one. */
static void add(struct ct_plan_range *v, u32 *nr, const struct ct_vma *vma)
{
	if (*nr && v[*nr - 1].end == vma->start)
		v[*nr - 1].end = vma->end;
	else
		v[(*nr)++] = (struct ct_plan_range){ vma->start, vma->end };
}

/* The VMA that holds addr. */
static size_t vma_at(const struct ct_maps *maps, u64 addr)
{
	const struct ct_vma *v = ct_maps_find(maps, addr);

	return v ? (size_t)(v - maps->vmas) : maps->nr;
}

/* Marks in `owned` the VMAs of [start, end) that hold anonymous pages. */
static int find_owned(const struct ct_maps *maps, int fd, u64 start, u64 end,
		      struct ct_scan_run *runs, bool *owned)
{
	while (start < end) {
		ssize_t i, nr = ct_pagemap_scan_anon(fd, start, end, runs, NR_RUNS, &start);

		if (nr < 0)
			return (int)nr;
		for (i = 0; i < nr; i++) {
			size_t k = vma_at(maps, runs[i].start);

			for (; k < maps->nr && maps->vmas[k].start < runs[i].end; k++)
				owned[k] = true;
		}
	}
	return 0;
}

/* One scan over each stretch of VMAs that are neither large nor shared. */
static int look_for_owned(const struct ct_maps *maps, int fd, bool *owned)
{
	ct_auto_free struct ct_scan_run *runs = malloc(NR_RUNS * sizeof(*runs));
	u64 start = 0, end = 0;
	size_t i;
	int err = 0;

	if (!runs)
		return -ENOMEM;
	for (i = 0; i < maps->nr && !err; i++) {
		const struct ct_vma *v = &maps->vmas[i];

		if (v->start >= CT_USER_END)
			break;
		if (!is_large(v) && !v->shared) {
			start = end ? start : v->start;
			end = v->end;
			continue;
		}
		err = find_owned(maps, fd, start, end, runs, owned);
		start = end = 0;
	}
	return err ? err : find_owned(maps, fd, start, end, runs, owned);
}

int ct_plan_make(const struct ct_maps *maps, int pagemap_fd, const struct ct_kcaps *caps,
		 struct ct_plan *ret)
{
	ct_auto_free bool *owned = calloc(maps->nr + 1, sizeof(*owned));
	struct ct_plan p = { 0 };
	size_t i;
	int err = -ENOMEM;

	p.large = malloc((maps->nr + 1) * sizeof(*p.large));
	p.leave_out = malloc((maps->nr + 1) * sizeof(*p.leave_out));
	p.small = malloc((maps->nr + 1) * sizeof(*p.small));
	if (!owned || !p.large || !p.leave_out || !p.small)
		goto fail;
	err = caps->pagemap_scan ? look_for_owned(maps, pagemap_fd, owned) : 0;
	if (err)
		goto fail;
	for (i = 0; i < maps->nr; i++) {
		const struct ct_vma *v = &maps->vmas[i];

		if (is_large(v))
			add(p.large, &p.nr_large, v);
		else if (caps->pagemap_scan && may_be_left_out(v) && !owned[i])
			add(p.leave_out, &p.nr_leave_out, v);
		else if (!v->shared && v->start < CT_USER_END)
			add(p.small, &p.nr_small, v);
	}
	*ret = p;
	return 0;
fail:
	ct_plan_fini(&p);
	return err;
}
