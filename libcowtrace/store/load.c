/* SPDX-License-Identifier: MIT */
/*
 * The rows of a trace into arrays.  One small function for each table says which
 * columns it takes; a common loop does the rest.
 *
 * The file may be damaged or malicious: every id is checked to fit, every string
 * is copied with its length, and a number that no writer of ours would have
 * written makes the trace damaged rather than the report wrong.
 */
#include <errno.h>
#include <string.h>

#include <cowtrace/policy.h>

#include "store/load.h"
#include "store/schema.h"
#include "store/sqerr.h"

/* The row under the cursor; columns are taken in order. */
struct row {
	sqlite3_stmt *st;
	struct ct_trace_strings *strings;
	int col;
	bool bad; /* a value that cannot be */
	bool no_memory;
};

static u64 take_count(struct row *r)
{
	int col = r->col++;
	s64 v;

	if (sqlite3_column_type(r->st, col) == SQLITE_NULL)
		return CT_UNKNOWN;
	v = sqlite3_column_int64(r->st, col);
	if (v < 0 || sqlite3_column_type(r->st, col) != SQLITE_INTEGER)
		r->bad = true;
	return (u64)v;
}

static u32 take_id(struct row *r)
{
	u64 v = take_count(r);

	if (v == CT_UNKNOWN)
		return 0;
	if (v > UINT32_MAX)
		r->bad = true;
	return (u32)v;
}

static u64 take_word(struct row *r)
{
	return (u64)sqlite3_column_int64(r->st, r->col++);
}

static s32 take_s32(struct row *r, s32 fallback)
{
	int col = r->col++;
	s64 v;

	if (sqlite3_column_type(r->st, col) == SQLITE_NULL)
		return fallback;
	v = sqlite3_column_int64(r->st, col);
	if (v < INT32_MIN || v > INT32_MAX)
		r->bad = true;
	return (s32)v;
}

static const char *take_text(struct row *r)
{
	const char *s = (const char *)sqlite3_column_text(r->st, r->col);
	int len = sqlite3_column_bytes(r->st, r->col++);

	if (!s || !len)
		return "";
	s = ct_strings_add(r->strings, s, (size_t)len);
	if (!s)
		r->no_memory = true;
	return s;
}

/* An enum's word, parsed without a copy. */
static int take_word_of(struct row *r, int (*parse)(const char *, int), int fallback)
{
	return parse((const char *)sqlite3_column_text(r->st, r->col++), fallback);
}

/* A side is part of a key: no fallback is right. */
static enum ct_side take_side(struct row *r)
{
	int v = take_word_of(r, ct_side_parse, -1);

	if (v < 0)
		r->bad = true;
	return v < 0 ? CT_SIDE_PARENT : (enum ct_side)v;
}

static void read_meta(struct row *r, void *to)
{
	struct ct_trace_meta *m = to;

	m->key = take_text(r);
	m->value = take_text(r);
}

static void read_arg(struct row *r, void *to)
{
	((struct ct_trace_arg *)to)->text = take_text(r);
}

static void read_process(struct row *r, void *to)
{
	struct ct_trace_process *p = to;

	p->id = take_id(r);
	p->parent = take_id(r);
	p->pid = take_s32(r, 0);
	p->parent_pid = take_s32(r, 0);
	p->comm = take_text(r);
	p->exe = take_text(r);
	p->start_ns = take_count(r);
	p->end_ns = take_count(r);
	p->ended = (enum ct_ended)take_word_of(r, ct_ended_parse, CT_ENDED_RUNNING);
	p->wstatus = take_s32(r, -1);
}

static void read_module(struct row *r, void *to)
{
	struct ct_trace_module *m = to;
	const void *blob;
	int len;

	m->id = take_id(r);
	m->path = take_text(r);
	blob = sqlite3_column_blob(r->st, r->col);
	len = sqlite3_column_bytes(r->st, r->col++);
	if (len > (int)sizeof(m->build_id))
		r->bad = true;
	else if (blob)
		memcpy(m->build_id, blob, m->build_id_len = (u32)len);
}

static void read_frame(struct row *r, void *to)
{
	struct ct_trace_frame *f = to;

	f->site = take_id(r);
	f->depth = take_id(r);
	f->module = take_id(r);
	f->offset = take_word(r);
}

static void read_fork(struct row *r, void *to)
{
	struct ct_trace_fork *f = to;

	f->id = take_id(r);
	f->parent = take_id(r);
	f->child = take_id(r);
	f->child_pid = take_s32(r, 0);
	f->site = take_id(r);
	f->phase = take_text(r);
	f->how = take_text(r);
	f->start_ns = take_count(r);
	f->end_ns = take_count(r);
	f->hold_ns = take_count(r);
	f->fork_ns = take_count(r);
	f->arm_ns = take_count(r);
	f->event_ns = take_count(r);
	f->pages_shared = take_count(r);
	f->huge_pages_shared = take_count(r);
	f->swapped = take_count(r);
	f->late = take_word(r);
	f->copied_min = take_count(r);
	f->copied_max = take_count(r);
}

static void read_side(struct row *r, void *to)
{
	struct ct_trace_side *s = to;

	s->fork = take_id(r);
	s->side = take_side(r);
	s->ended = (enum ct_side_end)take_word_of(r, ct_side_end_parse, CT_SIDE_END_OPEN);
	s->t_ns = take_count(r);
	s->copied = take_count(r);
	s->dropped = take_count(r);
	s->fresh = take_count(r);
	s->unknown = take_count(r);
	s->kept = take_count(r);
	s->attributed = take_count(r);
}

static void read_region(struct row *r, void *to)
{
	struct ct_trace_region *g = to;

	g->id = take_id(r);
	g->process = take_id(r);
	g->start = take_word(r);
	g->end = take_word(r);
	g->kind = (enum ct_kind)take_word_of(r, ct_kind_parse, CT_KIND_ANON);
	g->name = take_text(r);
	g->tagged = take_word(r);
	g->site = take_id(r);
	g->thp = (enum ct_thp_advice)take_word_of(r, ct_thp_advice_parse, CT_THP_UNSET);
	g->ksm = (enum ct_ksm_advice)take_word_of(r, ct_ksm_advice_parse, CT_KSM_UNSET);
	g->fork_advice = (enum ct_fork_advice)take_word_of(r, ct_fork_advice_parse, CT_FORK_UNSET);
	g->t_ns = take_count(r);
}

static void read_count(struct row *r, void *to)
{
	struct ct_trace_count *c = to;

	c->fork = take_id(r);
	c->region = take_id(r);
	c->side = take_side(r);
	c->shared = take_count(r);
	c->huge = take_count(r);
	c->copied = take_count(r);
	c->dropped = take_count(r);
	c->fresh = take_count(r);
	c->unknown = take_count(r);
}

static void read_bucket(struct row *r, void *to)
{
	struct ct_trace_bucket *b = to;

	b->t_ns = take_count(r);
	b->fork = take_id(r);
	b->side = take_side(r);
	b->copied = take_count(r);
}

static void read_witness(struct row *r, void *to)
{
	struct ct_trace_witness *w = to;

	w->process = take_id(r);
	w->fork = take_id(r);
	w->t_ns = take_count(r);
	w->private_dirty = take_count(r);
	w->census_private = take_count(r);
	w->why = take_text(r);
}

/* A verdict; none of ours, or none: UNCERTAIN. */
static u8 take_action(struct row *r)
{
	const char *word = (const char *)sqlite3_column_text(r->st, r->col++);

	for (int a = 0; word && a < COWTRACE_NR_ACTIONS; a++)
		if (!strcmp(word, cowtrace_action_name(a)))
			return (u8)a;
	return COWTRACE_UNCERTAIN;
}

static void read_kind(struct row *r, void *to)
{
	struct ct_trace_kind *k = to;

	k->id = take_id(r);
	k->side = take_side(r);
	k->access = (enum ct_access)take_word_of(r, ct_access_parse, CT_ACCESS_FOREIGN);
	k->no_site = take_text(r);
	k->huge = take_word(r);
	k->predicted = take_action(r);
	k->reason = take_text(r);
	k->decides = take_text(r);
	k->likely = take_action(r);
	k->observed = take_action(r);
}

static void read_loss(struct row *r, void *to)
{
	struct ct_trace_loss *l = to;

	l->process = take_id(r);
	l->fork = take_id(r);
	l->t_ns = take_count(r);
	l->cause = take_text(r);
	l->addr = take_word(r);
	l->len = take_word(r);
	l->site = take_id(r);
	if (!l->len || l->len % CT_HUGE_SIZE || l->len > 1ULL << 56)
		r->bad = true;
}

static void read_unattributed(struct row *r, void *to)
{
	struct ct_trace_unattributed *u = to;

	u->fork = take_id(r);
	u->side = take_side(r);
	u->reason = take_text(r);
	u->pages = take_count(r);
}

static void read_carried(struct row *r, void *to)
{
	struct ct_trace_carried *c = to;

	c->fork = take_id(r);
	c->pages_shared = take_count(r);
}

static void read_note(struct row *r, void *to)
{
	struct ct_trace_note *n = to;

	n->t_ns = take_count(r);
	n->process = take_id(r);
	n->severity = take_text(r);
	n->code = take_text(r);
	n->text = take_text(r);
}

struct table {
	const char *sql;
	size_t array, nr; /* offsets in struct ct_trace */
	size_t row_len;
	void (*read)(struct row *r, void *to);
	bool later; /* not in the first traces of this version: none is as good as empty */
};

#define ROWS(field, count, fn, query, later)                                               \
	{                                                                                  \
		query, offsetof(struct ct_trace, field), offsetof(struct ct_trace, count), \
			sizeof(*((struct ct_trace *)NULL)->field), fn, later               \
	}
#define TABLE(field, count, fn, query) ROWS(field, count, fn, query, false)
#define LATER(field, count, fn, query) ROWS(field, count, fn, query, true)

static const struct table tables[] = {
	TABLE(metas, nr_metas, read_meta, "SELECT key,value FROM meta ORDER BY key"),
	TABLE(args, nr_args, read_arg,
	      "SELECT value FROM json_each((SELECT value FROM meta WHERE key='command'"
	      " AND json_valid(value)))"),
	TABLE(processes, nr_processes, read_process,
	      "SELECT id,parent,pid,parent_pid,comm,exe,start_ns,end_ns,ended,wstatus"
	      " FROM processes ORDER BY id"),
	TABLE(modules, nr_modules, read_module, "SELECT id,path,build_id FROM modules ORDER BY id"),
	TABLE(frames, nr_frames, read_frame,
	      "SELECT site,depth,module,\"offset\" FROM frames ORDER BY site,depth"),
	TABLE(forks, nr_forks, read_fork,
	      "SELECT id,parent,child,child_pid,site,phase,how,start_ns,end_ns,hold_ns,fork_ns,"
	      "arm_ns,event_ns,pages_shared,huge_pages_shared,swapped,late,copied_min,copied_max"
	      " FROM forks ORDER BY id"),
	TABLE(sides, nr_sides, read_side,
	      "SELECT fork,side,ended,t_ns,copied,dropped,fresh,unknown,kept,attributed"
	      " FROM sides ORDER BY fork,side"),
	TABLE(regions, nr_regions, read_region,
	      "SELECT id,process,start_addr,end_addr,kind,name,tagged,site,thp,ksm,fork_advice,"
	      "t_ns FROM regions ORDER BY id"),
	TABLE(counts, nr_counts, read_count,
	      "SELECT fork,region,side,shared,huge,copied,dropped,fresh,unknown"
	      " FROM region_counts ORDER BY fork,region,side"),
	TABLE(timeline, nr_buckets, read_bucket,
	      "SELECT t_ns,fork,side,copied FROM timeline ORDER BY t_ns,fork,side"),
	TABLE(witnesses, nr_witnesses, read_witness,
	      "SELECT process,fork,t_ns,private_dirty,census_private,why FROM witnesses"
	      " ORDER BY process,fork,t_ns"),
	LATER(kinds, nr_kinds, read_kind,
	      "SELECT id,side,access,no_site,huge,predicted,reason,decides,likely,observed"
	      " FROM write_kinds ORDER BY id"),
	LATER(losses, nr_losses, read_loss,
	      "SELECT process,fork,t_ns,cause,addr,len,site FROM thp_losses ORDER BY t_ns"),
	LATER(unattributed, nr_unattributed, read_unattributed,
	      "SELECT fork,side,reason,pages FROM unattributed ORDER BY fork,side,reason"),
	LATER(carried, nr_carried, read_carried,
	      "SELECT fork,pages_shared FROM carried ORDER BY fork"),
	TABLE(notes, nr_notes, read_note,
	      "SELECT t_ns,process,severity,code,text FROM notes ORDER BY t_ns"),
};

int ct_load_damaged(const char *path, u64 row, const char *table, struct ct_err *err)
{
	return ct_err_set(err, -EBADMSG,
			  "%s is damaged (row %llu of table %.*s makes no sense): record again",
			  path, (unsigned long long)row, (int)strcspn(table, " "), table);
}

/* The name of the table that a query reads: ends in a blank. */
static const char *name_of(const struct table *tab)
{
	return strstr(tab->sql, "FROM ") + 5;
}

/* Room for one more row, zeroed. */
static void *grow(const struct table *tab, char **array, size_t nr, size_t *cap)
{
	if (nr == *cap) {
		size_t want = *cap ? *cap * 2 : 64;
		char *p = reallocarray(*array, want, tab->row_len);

		if (!p)
			return NULL;
		*array = p;
		*cap = want;
	}
	return memset(*array + nr * tab->row_len, 0, tab->row_len);
}

static int load_rows(const struct table *tab, struct row *r, struct ct_trace *t, const char *path,
		     struct ct_err *err)
{
	char **array = (char **)((char *)t + tab->array);
	size_t *nr = (size_t *)((char *)t + tab->nr);
	size_t cap = 0;
	int rc;

	while ((rc = sqlite3_step(r->st)) == SQLITE_ROW) {
		void *to = grow(tab, array, *nr, &cap);

		if (to) {
			r->col = 0;
			tab->read(r, to);
		}
		if (!to || r->no_memory)
			return ct_err_set(err, -ENOMEM, "not enough memory to read %s", path);
		if (r->bad)
			return ct_load_damaged(path, *nr + 1, name_of(tab), err);
		(*nr)++;
	}
	return rc == SQLITE_DONE ? 0 : ct_sqerr_set(err, sqlite3_db_handle(r->st), rc, path);
}

bool ct_load_has_table(sqlite3 *db, const char *name)
{
	sqlite3_stmt *st;
	bool has;

	if (sqlite3_prepare_v2(db, "SELECT 1 FROM sqlite_schema WHERE name=?1", -1, &st, NULL))
		return true; /* the next query will say what is wrong */
	sqlite3_bind_text(st, 1, name, (int)strcspn(name, " "), SQLITE_STATIC);
	has = sqlite3_step(st) != SQLITE_DONE;
	sqlite3_finalize(st);
	return has;
}

int ct_load_tables(sqlite3 *db, struct ct_trace *t, const char *path, struct ct_err *err)
{
	for (size_t i = 0; i < ct_array_size(tables); i++) {
		struct row r = { .strings = t->strings };
		int rc;

		if (tables[i].later && !ct_load_has_table(db, name_of(&tables[i])))
			continue;
		rc = sqlite3_prepare_v2(db, tables[i].sql, -1, &r.st, NULL);
		if (rc != SQLITE_OK)
			return ct_sqerr_set(err, db, rc, path);
		rc = load_rows(&tables[i], &r, t, path, err);
		sqlite3_finalize(r.st);
		if (rc)
			return rc;
	}
	return 0;
}
