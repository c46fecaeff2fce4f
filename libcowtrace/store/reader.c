/* SPDX-License-Identifier: MIT */
/*
 * A trace in memory: its life, and looking things up in it.  How the file is
 * opened is in open.c, how rows become structs in load.c.
 *
 * Invariant: a struct ct_trace that a caller gets is whole; a file that cannot
 * be read to the end gives an error and nothing else.
 */
#include <errno.h>
#include <string.h>

#include "store/load.h"
#include "store/schema.h"

#define BLOCK_LEN 65536

struct strings_block {
	struct strings_block *next;
	size_t used, len;
	char text[];
};

struct ct_trace_strings {
	struct strings_block *head;
};

int ct_strings_create(struct ct_trace_strings **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void ct_strings_destroy(struct ct_trace_strings *s)
{
	while (s && s->head) {
		struct strings_block *b = s->head;

		s->head = b->next;
		free(b);
	}
	free(s);
}

const char *ct_strings_add(struct ct_trace_strings *s, const char *text, size_t len)
{
	struct strings_block *b = s->head;
	char *to;

	if (!b || b->len - b->used <= len) {
		size_t room = ct_max(len + 1, (size_t)BLOCK_LEN);

		b = malloc(sizeof(*b) + room);
		if (!b)
			return NULL;
		*b = (struct strings_block){ s->head, 0, room };
		s->head = b;
	}
	to = b->text + b->used;
	memcpy(to, text, len);
	to[len] = 0;
	b->used += len + 1;
	return to;
}

void ct_trace_close_file(struct ct_trace *t)
{
	sqlite3_close(t->db);
	t->db = NULL;
}

void ct_trace_destroy(struct ct_trace *t)
{
	if (!t)
		return;
	ct_trace_close_file(t);
	free(t->metas);
	free(t->args);
	free(t->processes);
	free(t->modules);
	free(t->frames);
	free(t->forks);
	free(t->sides);
	free(t->regions);
	free(t->counts);
	free(t->timeline);
	free(t->witnesses);
	free(t->kinds);
	free(t->losses);
	free(t->unattributed);
	free(t->carried);
	free(t->notes);
	ct_strings_destroy(t->strings);
	free(t);
}

static void read_state(struct ct_trace *t)
{
	const char *complete = ct_trace_meta(t, CT_META_COMPLETE);
	const char *why = ct_trace_meta(t, CT_META_WHY);

	t->complete = complete && !strcmp(complete, "1");
	t->why_incomplete = t->complete ? "" : why && *why ? why : "it does not say why";
	if (!t->writer_pid && !strcmp(t->why_incomplete, CT_WHY_UNFINISHED))
		t->why_incomplete = CT_WHY_KILLED;
}

int ct_trace_load(const char *path, struct ct_trace **ret_trace, struct ct_err *err)
{
	struct ct_trace *t = calloc(1, sizeof(*t));
	int rc = t ? ct_strings_create(&t->strings) : -ENOMEM;

	if (rc)
		ct_err_set(err, rc, "not enough memory to read %s", path);
	if (!rc)
		rc = ct_load_open(path, &t->db, &t->writer_pid, err);
	if (!rc)
		rc = ct_load_tables(t->db, t, path, err);
	if (rc) {
		ct_trace_destroy(t);
		return rc;
	}
	read_state(t);
	*ret_trace = t;
	return 0;
}

const char *ct_trace_meta(const struct ct_trace *t, const char *key)
{
	for (size_t i = 0; i < t->nr_metas; i++)
		if (!strcmp(t->metas[i].key, key))
			return t->metas[i].value;
	return NULL;
}

/* Every row that is looked up this way begins with its u32 id. */
static const void *find_id(const void *array, size_t nr, size_t len, u32 id)
{
	size_t lo = 0, hi = nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const char *row = (const char *)array + mid * len;
		u32 got = *(const u32 *)row;

		if (got == id)
			return row;
		if (got < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

#define FIND(t, field, nr, id) find_id((t)->field, (t)->nr, sizeof(*(t)->field), id)

const struct ct_trace_process *ct_trace_process(const struct ct_trace *t, u32 id)
{
	return FIND(t, processes, nr_processes, id);
}

const struct ct_trace_module *ct_trace_module(const struct ct_trace *t, u32 id)
{
	return FIND(t, modules, nr_modules, id);
}

const struct ct_trace_fork *ct_trace_fork(const struct ct_trace *t, u32 id)
{
	return FIND(t, forks, nr_forks, id);
}

const struct ct_trace_region *ct_trace_region(const struct ct_trace *t, u32 id)
{
	return FIND(t, regions, nr_regions, id);
}

const struct ct_trace_kind *ct_trace_kind(const struct ct_trace *t, u32 id)
{
	return FIND(t, kinds, nr_kinds, id);
}

const struct ct_trace_side *ct_trace_side(const struct ct_trace *t, u32 fork, enum ct_side side)
{
	const struct ct_trace_side *s = FIND(t, sides, nr_sides, fork);
	const struct ct_trace_side *end = t->sides + t->nr_sides;

	if (!s)
		return NULL;
	/* Two rows at most have this fork; the search may have met either. */
	if (s > t->sides && s[-1].fork == fork)
		s--;
	for (; s < end && s->fork == fork; s++)
		if (s->side == side)
			return s;
	return NULL;
}

const struct ct_trace_frame *ct_trace_frames(const struct ct_trace *t, u32 site, size_t *ret_nr)
{
	const struct ct_trace_frame *f = FIND(t, frames, nr_frames, site);
	const struct ct_trace_frame *end = t->frames + t->nr_frames;
	size_t n = 0;

	*ret_nr = 0;
	if (!f)
		return NULL;
	while (f > t->frames && f[-1].site == site)
		f--;
	while (f + n < end && f[n].site == site)
		n++;
	*ret_nr = n;
	return f;
}
