/* SPDX-License-Identifier: MIT */
/*
 * From call sites to the rows of a list.  A site is a whole stack, and a hot
 * function is reached by hundreds of them; what people are shown is the function,
 * its line and its nearest callers, and what looks the same there is one row.
 *
 * Invariant: each write site is in one group, so that the groups' sums are the
 * sites' sums.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "site_groups.h"

#define MAX_NAME 40   /* columns of a caller's name */
#define MAX_CALLERS 5 /* behind the function that is named */

void ct_line_add(struct ct_line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len = ct_min(l->len + (size_t)n, sizeof(l->text) - 1);
}

void ct_line_add_name(struct ct_line *l, const char *before, const char *name)
{
	if (strlen(name) > MAX_NAME)
		ct_line_add(l, "%s%.*s...", before, MAX_NAME - 3, name);
	else
		ct_line_add(l, "%s%s", before, name);
}

static char *callers(const struct cowtrace_write_site *s)
{
	struct ct_line l = { .len = 0 };
	u32 from = s->deciding ? 0 : 1;
	u32 end = ct_min(s->nr_frames, s->deciding + 1 + MAX_CALLERS);

	for (u32 i = from; i < end; i++) {
		/* Of an allocator's inside only where it begins and ends. */
		if (i >= 2 && i + 1 < s->deciding) {
			if (i == 2)
				ct_line_add(&l, " < ...");
			continue;
		}
		ct_line_add_name(&l,
				 i > from      ? " < "
				 : s->deciding ? ""
					       : "< ",
				 s->frames[i].function);
	}
	if (end < s->nr_frames)
		ct_line_add(&l, " < ...");
	return strdup(l.text);
}

/* A site on its way into a group. */
struct member {
	const struct cowtrace_write_site *site;
	char *callers;
};

static int by_look(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int rc = strcmp(x->site->text, y->site->text);

	if (!rc)
		rc = strcmp(x->site->side, y->site->side);
	return rc ? rc : strcmp(x->callers, y->callers);
}

static const char *base_name(const char *name)
{
	const char *slash = *name == '/' ? strrchr(name, '/') : NULL;

	return slash ? slash + 1 : name;
}

static int add_memory(struct ct_site_group *g, const struct cowtrace_site_region *m)
{
	const char *name = base_name(m->name);
	struct ct_site_memory *grown;

	for (size_t i = 0; i < g->nr_memories; i++) {
		if (strcmp(g->memories[i].kind, m->kind) || strcmp(g->memories[i].name, name))
			continue;
		g->memories[i].first_writes += m->first_writes;
		return 0;
	}
	grown = reallocarray(g->memories, g->nr_memories + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	g->memories = grown;
	g->memories[g->nr_memories++] = (struct ct_site_memory){ m->kind, name, m->first_writes };
	return 0;
}

static void add_up(u64 *sum, u64 v)
{
	*sum = *sum == COWTRACE_UNKNOWN || v == COWTRACE_UNKNOWN ? COWTRACE_UNKNOWN : *sum + v;
}

static void add(struct ct_site_group *g, const struct cowtrace_write_site *s, u32 nr_steps)
{
	g->nr_sites++;
	g->first_writes += s->first_writes;
	g->copies += s->copies;
	g->reuses += s->reuses;
	g->zero_filled += s->zero_filled;
	g->unknown += s->unknown;
	add_up(&g->stall_ns, s->stall_ns);
	for (u32 i = 0; i < nr_steps; i++)
		g->steps[i] += s->steps[i];
}

/* Members, sorted, into groups; group_of: by index in the report's write sites. */
static int gather(const struct cowtrace_report *r, struct member *m, struct ct_site_groups *to,
		  size_t *group_of)
{
	const struct cowtrace_write_site *first = cowtrace_report_write_site(r, 0);
	u32 nr_steps = cowtrace_report_writes(r)->nr_steps;

	for (size_t i = 0; i < cowtrace_report_nr_write_sites(r); i++) {
		if (!i || by_look(&m[i - 1], &m[i])) {
			struct ct_site_group *g = &to->v[to->nr++];

			g->site = m[i].site;
			g->callers = strdup(m[i].callers);
			g->steps = calloc(nr_steps + !nr_steps, sizeof(*g->steps));
			if (!g->callers || !g->steps)
				return -ENOMEM;
		}
		add(&to->v[to->nr - 1], m[i].site, nr_steps);
		group_of[m[i].site - first] = to->nr - 1;
	}
	return 0;
}

/* Both tables are in the order of write sites. */
static int gather_memory(const struct cowtrace_report *r, struct ct_site_groups *to,
			 const size_t *group_of)
{
	const struct cowtrace_site_region *m;
	size_t at = 0;
	int rc = 0;

	for (size_t i = 0; !rc && (m = cowtrace_report_site_region(r, i)); i++) {
		while (cowtrace_report_write_site(r, at)->id != m->write_site)
			at++;
		rc = add_memory(&to->v[group_of[at]], m);
	}
	return rc;
}

static int by_writes(const void *a, const void *b)
{
	const struct ct_site_memory *x = a, *y = b;
	int rc;

	if (x->first_writes != y->first_writes)
		return x->first_writes < y->first_writes ? 1 : -1;
	rc = strcmp(x->kind, y->kind);
	return rc ? rc : strcmp(x->name, y->name);
}

static u64 sort_key(const struct ct_site_group *g, enum cowtrace_report_sort sort)
{
	if (sort == COWTRACE_SORT_REUSES)
		return g->reuses;
	if (sort == COWTRACE_SORT_STALL && g->stall_ns != COWTRACE_UNKNOWN)
		return g->stall_ns;
	return g->copies; /* which are the bytes, too */
}

static int by_choice(const void *a, const void *b, void *choice)
{
	const struct ct_site_group *x = a, *y = b;
	enum cowtrace_report_sort sort = *(enum cowtrace_report_sort *)choice;
	u64 kx = sort_key(x, sort), ky = sort_key(y, sort);

	if (kx == ky) {
		kx = x->first_writes;
		ky = y->first_writes;
	}
	if (kx != ky)
		return kx < ky ? 1 : -1;
	return x->site->id < y->site->id ? -1 : 1;
}

static int make(const struct cowtrace_report *r, struct member *m, enum cowtrace_report_sort sort,
		struct ct_site_groups *to)
{
	size_t nr = cowtrace_report_nr_write_sites(r);
	ct_auto_free size_t *group_of = calloc(nr, sizeof(*group_of));
	int rc = group_of ? 0 : -ENOMEM;

	for (size_t i = 0; i < nr && !rc; i++) {
		m[i].site = cowtrace_report_write_site(r, i);
		m[i].callers = callers(m[i].site);
		rc = m[i].callers ? 0 : -ENOMEM;
	}
	if (rc)
		return rc;
	qsort(m, nr, sizeof(*m), by_look);
	rc = gather(r, m, to, group_of);
	if (!rc)
		rc = gather_memory(r, to, group_of);
	for (size_t i = 0; i < to->nr; i++)
		if (to->v[i].memories)
			qsort(to->v[i].memories, to->v[i].nr_memories, sizeof(*to->v[i].memories),
			      by_writes);
	qsort_r(to->v, to->nr, sizeof(*to->v), by_choice, &sort);
	return rc;
}

int ct_site_groups_make(const struct cowtrace_report *r, enum cowtrace_report_sort sort,
			struct ct_site_groups *ret)
{
	size_t nr = cowtrace_report_nr_write_sites(r);
	struct ct_site_groups g = { .nr = 0 };
	struct member *m;
	int rc;

	*ret = g;
	if (!nr)
		return 0;
	g.v = calloc(nr, sizeof(*g.v));
	m = calloc(nr, sizeof(*m));
	rc = g.v && m ? make(r, m, sort, &g) : -ENOMEM;
	for (size_t i = 0; m && i < nr; i++)
		free(m[i].callers);
	free(m);
	if (rc)
		ct_site_groups_fini(&g);
	*ret = g;
	return rc;
}

void ct_site_groups_fini(struct ct_site_groups *g)
{
	for (size_t i = 0; i < g->nr; i++) {
		free(g->v[i].callers);
		free(g->v[i].memories);
		free(g->v[i].steps);
	}
	free(g->v);
	*g = (struct ct_site_groups){ .nr = 0 };
}
