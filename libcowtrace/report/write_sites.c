/* SPDX-License-Identifier: MIT */
/*
 * Call sites of first writes: what the pass summed up, with names, forks, and what
 * the faults cost.  One site on both sides of a fork is two entries, and so is
 * one that wrote itself and let a system call write.
 *
 * Invariant: ids go on behind the trace's own, so that no two sites of a report
 * have one id.
 */
#include <errno.h>
#include <string.h>

#include "report/gather.h"
#include "store/schema.h"

/* What a fault of each kind cost; COWTRACE_UNKNOWN where nobody measured. */
static u64 price(const struct cowtrace_report *r, const char *key)
{
	const char *v = ct_trace_meta(r->trace, key);
	char *end;
	u64 ns;

	if (!v || !*v)
		return CT_UNKNOWN;
	ns = strtoull(v, &end, 10);
	/* 0: it could not be measured. */
	return *end || !ns || ns > CT_NSEC_PER_SEC ? CT_UNKNOWN : ns;
}

/* A split costs a copy at least: the price of that where its own is not known. */
static u64 stall(const struct cowtrace_writes *w, const struct ct_sums *s)
{
	u64 split = w->fault_huge_ns == CT_UNKNOWN ? w->fault_copy_ns : w->fault_huge_ns;

	if ((s->small_copies && w->fault_copy_ns == CT_UNKNOWN) ||
	    (s->splits && split == CT_UNKNOWN) || (s->reused && w->fault_reuse_ns == CT_UNKNOWN))
		return CT_UNKNOWN;
	return (s->small_copies ? s->small_copies * w->fault_copy_ns : 0) +
	       (s->splits ? s->splits * split : 0) +
	       (s->reused ? s->reused * w->fault_reuse_ns : 0);
}

static void make_totals(struct cowtrace_report *r)
{
	const struct ct_gather *g = r->gather;
	struct cowtrace_writes *w = &r->writes;
	const char *engine = r->recording.engine;

	w->watched = g->faults || (*engine && strcmp(engine, "census"));
	w->faults = g->faults;
	w->first_writes = g->all.first_writes;
	w->copies = g->all.copies;
	w->reuses = g->all.reuses;
	w->zero_filled = g->all.zero_filled;
	w->unknown = g->all.unknown;
	w->fault_copy_ns = price(r, "fault_copy_ns");
	w->fault_reuse_ns = price(r, "fault_reuse_ns");
	w->fault_huge_ns = price(r, "fault_huge_ns");
	w->stall_ns = stall(w, &g->all);
	w->steps_ns = g->steps_ns;
	w->step_ns = g->sites.nr ? g->step_ns : 0;
	w->nr_steps = g->sites.nr ? CT_STEPS : 0;
}

/* The site's frames behind one for the system call.  NULL: no memory. */
static const struct cowtrace_frame *with_syscall(struct cowtrace_report *r,
						 const struct cowtrace_site *site, const char *name)
{
	const char *function = ct_pool_format(&r->pool, "%s(2)", name);
	struct cowtrace_frame *frames = calloc(site->nr_frames + 1, sizeof(*frames));

	if (!function || !frames) {
		free(frames);
		return NULL;
	}
	frames[0] = (struct cowtrace_frame){ .function = function, .module = "[kernel]" };
	memcpy(frames + 1, site->frames, site->nr_frames * sizeof(*frames));
	return frames;
}

static int name_frames(struct cowtrace_report *r, const struct ct_gather_site *from,
		       struct cowtrace_write_site *to)
{
	const struct cowtrace_site *site = cowtrace_report_site_of(r, from->site);

	to->text = site->text;
	to->nr_frames = site->nr_frames;
	to->frames = site->frames;
	to->deciding = site->deciding;
	to->syscall = ct_report_syscall(r, from->syscall);
	if (!to->syscall)
		return -ENOMEM;
	if (!*to->syscall)
		return 0;
	to->frames = with_syscall(r, site, to->syscall);
	to->nr_frames++;
	to->deciding++;
	to->text = ct_pool_format(&r->pool, "%s(2) by %s", to->syscall, site->text);
	return to->frames && to->text ? 0 : -ENOMEM;
}

static int fill(struct cowtrace_report *r, u32 number, struct cowtrace_write_site *to)
{
	const struct ct_gather_site *from = &r->gather->site[number];

	*to = (struct cowtrace_write_site){
		.site = from->site,
		.side = ct_side_name(from->side),
		.first_writes = from->sums.first_writes,
		.copies = from->sums.copies,
		.reuses = from->sums.reuses,
		.zero_filled = from->sums.zero_filled,
		.unknown = from->sums.unknown,
		.copied_len = from->sums.copies * CT_PAGE_SIZE,
		.stall_ns = stall(&r->writes, &from->sums),
		.steps = r->site_steps + (size_t)number * CT_STEPS,
	};
	memcpy((void *)to->steps, from->steps, sizeof(from->steps));
	return name_frames(r, from, to);
}

static int by_number(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* The forks of each site; keys ascend by site, then fork. */
static int give_forks(struct cowtrace_report *r)
{
	const struct ct_gather *g = r->gather;
	ct_auto_free u64 *keys = ct_u64map_keys(&g->forks);

	r->site_forks = ct_report_array(g->forks.nr, sizeof(*r->site_forks));
	if (!keys || !r->site_forks)
		return -ENOMEM;
	qsort(keys, g->forks.nr, sizeof(*keys), by_number);
	for (u32 i = 0; i < g->forks.nr; i++) {
		struct cowtrace_write_site *s = &r->write_sites[keys[i] >> 32];

		if (!s->nr_forks++)
			s->forks = &r->site_forks[i];
		r->site_forks[i] = (u32)keys[i];
	}
	return 0;
}

static int by_identity(const void *a, const void *b)
{
	const struct cowtrace_write_site *x = a, *y = b;
	int rc;

	if (x->site != y->site)
		return x->site < y->site ? -1 : 1;
	/* "child" before "parent", the program before its system calls. */
	rc = strcmp(x->side, y->side);
	return rc ? rc : strcmp(x->syscall, y->syscall);
}

static u64 sort_key(const struct cowtrace_write_site *s, enum cowtrace_report_sort sort)
{
	switch (sort) {
	case COWTRACE_SORT_REUSES:
		return s->reuses;
	case COWTRACE_SORT_STALL:
		return ct_report_known(s->stall_ns);
	case COWTRACE_SORT_BYTES:
		return s->copied_len;
	default:
		return s->copies;
	}
}

static int by_choice(const void *a, const void *b, void *choice)
{
	const struct cowtrace_write_site *x = a, *y = b;
	enum cowtrace_report_sort sort = *(enum cowtrace_report_sort *)choice;
	u64 kx = sort_key(x, sort), ky = sort_key(y, sort);

	if (kx == ky) {
		kx = x->first_writes;
		ky = y->first_writes;
	}
	if (kx != ky)
		return kx < ky ? 1 : -1;
	return x->id < y->id ? -1 : 1;
}

/* The last id of a call site that the trace itself gives. */
static u32 last_id(const struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;
	u32 last = t->nr_frames ? t->frames[t->nr_frames - 1].site : 0;

	return r->nr_sites ? ct_max(last, r->sites[r->nr_sites - 1].id) : last;
}

static void select_sides(struct cowtrace_report *r)
{
	static const char *const names[] = { NULL, "parent", "child" };
	const char *want = names[r->options.sides];
	size_t out = 0;

	for (size_t i = 0; i < r->nr_write_sites; i++) {
		struct cowtrace_write_site *s = &r->write_sites[i];

		if (!want || !strcmp(s->side, want))
			r->write_sites[out++] = *s;
		else if (*s->syscall)
			free((void *)s->frames);
	}
	r->nr_write_sites = out;
}

static void order(struct cowtrace_report *r)
{
	u32 last = last_id(r);

	qsort(r->write_sites, r->nr_write_sites, sizeof(*r->write_sites), by_identity);
	for (size_t i = 0; i < r->nr_write_sites; i++)
		r->write_sites[i].id = last + 1 + (u32)i;
	select_sides(r);
	qsort_r(r->write_sites, r->nr_write_sites, sizeof(*r->write_sites), by_choice,
		&r->options.sort);
}

int ct_report_make_write_sites(struct cowtrace_report *r)
{
	u32 nr = r->gather->sites.nr;
	int rc = 0;

	make_totals(r);
	r->write_sites = ct_report_array(nr, sizeof(*r->write_sites));
	r->site_steps = ct_report_array(nr, CT_STEPS * sizeof(*r->site_steps));
	if (!r->write_sites || !r->site_steps)
		return -ENOMEM;
	for (u32 n = 0; n < nr && !rc; n++)
		rc = fill(r, n, &r->write_sites[r->nr_write_sites++]);
	if (!rc)
		rc = give_forks(r);
	if (rc)
		return rc;
	order(r);
	return 0;
}
