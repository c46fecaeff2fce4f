/* SPDX-License-Identifier: MIT */
/*
 * A report as JSON.  Each row becomes a small jansson object and is written at
 * once: a hundred thousand regions never stand in memory as a tree.
 *
 * Invariant: what is unknown is null, never 0 and never left out; every string
 * is valid UTF-8, whatever bytes the traced program had in its names.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/base.h"
#include "export/json.h"

/* Where rows go, and whether one of them failed. */
struct sink {
	FILE *out;
	bool not_first; /* in the array that is open */
	bool no_memory;
};

/* The length of the UTF-8 sequence at s, or 0 when it is none (Unicode, table 3-7). */
static size_t utf8_len(const u8 *s)
{
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] > 0xf4)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

/* Each byte that is not UTF-8 becomes U+FFFD. */
static json_t *mended(const char *text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	const u8 *s = (const u8 *)text;
	char *to = malloc(3 * strlen(text) + 1);
	char *p = to;
	json_t *j;

	if (!to)
		return NULL;
	while (*s) {
		size_t len = utf8_len(s);

		memcpy(p, len ? (const char *)s : replacement, len ? len : 3);
		p += len ? len : 3;
		s += len ? len : 1;
	}
	j = json_stringn(to, (size_t)(p - to));
	free(to);
	return j;
}

static json_t *text(const char *s)
{
	json_t *j = json_string(s);

	return j ? j : mended(s);
}

static json_t *text_or_null(const char *s)
{
	return s && *s ? text(s) : json_null();
}

static json_t *count(u64 v)
{
	return v == COWTRACE_UNKNOWN ? json_null() : json_integer((json_int_t)v);
}

/* Id 0 is none. */
static json_t *id_or_null(u32 id)
{
	return id ? json_integer(id) : json_null();
}

/* Takes v over. */
static void set(struct sink *k, json_t *o, const char *key, json_t *v)
{
	if (json_object_set_new_nocheck(o, key, v))
		k->no_memory = true;
}

static void set_count(struct sink *k, json_t *o, const char *key, u64 v)
{
	set(k, o, key, count(v));
}

static void set_text(struct sink *k, json_t *o, const char *key, const char *s)
{
	set(k, o, key, text(s));
}

static void dump(struct sink *k, json_t *v)
{
	if (!v || json_dumpf(v, k->out, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)))
		k->no_memory = true;
	json_decref(v);
}

static void begin_array(struct sink *k, const char *key)
{
	fprintf(k->out, ",\n\"%s\":[", key);
	k->not_first = false;
}

static void end_array(struct sink *k)
{
	fputc(']', k->out);
}

static void put_row(struct sink *k, json_t *row)
{
	fputs(k->not_first ? ",\n" : "\n", k->out);
	k->not_first = true;
	dump(k, row);
}

static void put_pair(struct sink *k, const char *key, json_t *v)
{
	fprintf(k->out, ",\n\"%s\":", key);
	dump(k, v);
}

static void put_recording(struct sink *k, const struct cowtrace_report *r)
{
	const struct cowtrace_recording *rec = cowtrace_report_recording(r);
	json_t *command = json_array();

	for (size_t i = 0; i < rec->nr_args; i++)
		if (json_array_append_new(command, text(rec->command[i])))
			k->no_memory = true;
	fprintf(k->out, "{\"schema_version\":%d", CT_JSON_SCHEMA_VERSION);
	put_pair(k, "command", command);
	put_pair(k, "engine", text(rec->engine));
	put_pair(k, "kernel", text(rec->kernel));
	put_pair(k, "host", text_or_null(rec->host));
	put_pair(k, "page_frames", json_boolean(rec->page_frames));
	put_pair(k, "complete", json_boolean(rec->complete));
	put_pair(k, "why_incomplete", text_or_null(rec->why_incomplete));
	put_pair(k, "writer_pid", id_or_null((u32)rec->writer_pid));
	put_pair(k, "end_ns", count(rec->end_ns));
}

static void put_process(struct sink *k, const struct cowtrace_process *p)
{
	json_t *o = json_object();

	set(k, o, "id", json_integer(p->id));
	set(k, o, "parent_id", id_or_null(p->parent));
	set(k, o, "pid", json_integer(p->pid));
	set(k, o, "parent_pid", json_integer(p->parent_pid));
	set_text(k, o, "comm", p->comm);
	set(k, o, "exe", text_or_null(p->exe));
	set_count(k, o, "start_ns", p->start_ns);
	set_count(k, o, "end_ns", p->end_ns);
	set_text(k, o, "ended", p->ended);
	set(k, o, "wait_status", p->wstatus < 0 ? json_null() : json_integer(p->wstatus));
	set(k, o, "depth", json_integer(p->depth));
	put_row(k, o);
}

static json_t *side(struct sink *k, const struct cowtrace_side *s)
{
	json_t *o = json_object();

	set_text(k, o, "ended", s->ended);
	set_count(k, o, "t_ns", s->t_ns);
	set_count(k, o, "copied", s->copied);
	set_count(k, o, "dropped", s->dropped);
	set_count(k, o, "new", s->fresh);
	set_count(k, o, "unknown", s->unknown);
	set_count(k, o, "kept", s->kept);
	set_count(k, o, "attributed", s->attributed);
	return o;
}

static json_t *fork_region(struct sink *k, const struct cowtrace_fork_region *g)
{
	json_t *o = json_object();

	set(k, o, "region", json_integer(g->region));
	set_text(k, o, "side", g->side);
	set_count(k, o, "shared", g->shared);
	set_count(k, o, "huge", g->huge);
	set_count(k, o, "copied", g->copied);
	set_count(k, o, "dropped", g->dropped);
	set_count(k, o, "new", g->fresh);
	set_count(k, o, "unknown", g->unknown);
	return o;
}

/* The first of a fork's rows, which stand together in the order of forks. */
static size_t first_region_of(const struct cowtrace_report *r, u32 fork)
{
	size_t lo = 0, hi = cowtrace_report_nr_fork_regions(r);

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (cowtrace_report_fork_region(r, mid)->fork < fork)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static json_t *regions_of(struct sink *k, const struct cowtrace_report *r, u32 fork)
{
	json_t *a = json_array();

	for (size_t i = first_region_of(r, fork);; i++) {
		const struct cowtrace_fork_region *g = cowtrace_report_fork_region(r, i);

		if (!g || g->fork != fork)
			return a;
		if (json_array_append_new(a, fork_region(k, g)))
			k->no_memory = true;
	}
}

static void put_fork(struct sink *k, const struct cowtrace_report *r, const struct cowtrace_fork *f)
{
	json_t *o = json_object(), *total = json_object();

	set(k, o, "id", json_integer(f->id));
	set(k, o, "parent_pid", json_integer(f->parent_pid));
	set(k, o, "child_pid", json_integer(f->child_pid));
	set(k, o, "parent_id", id_or_null(f->parent));
	set(k, o, "child_id", id_or_null(f->child));
	set(k, o, "depth", json_integer(f->depth));
	set(k, o, "site", text_or_null(f->site_text));
	set(k, o, "site_id", id_or_null(f->site));
	set(k, o, "phase", text_or_null(f->phase));
	set_text(k, o, "how", f->how);
	set_count(k, o, "fork_ns", f->fork_ns);
	set_count(k, o, "arm_ns", f->arm_ns);
	set_count(k, o, "event_ns", f->event_ns);
	set_count(k, o, "hold_ns", f->hold_ns);
	set_count(k, o, "start_ns", f->start_ns);
	set_count(k, o, "end_ns", f->end_ns);
	set_count(k, o, "pages_shared", f->pages_shared);
	set_count(k, o, "huge_pages_shared", f->huge_pages_shared);
	set_count(k, o, "swapped", f->swapped);
	set(k, o, "late", json_boolean(f->late));
	set_count(k, total, "min", f->copied_min);
	set_count(k, total, "max", f->copied_max);
	set(k, o, "copied_total", total);
	set(k, o, "parent", side(k, &f->parent_side));
	set(k, o, "child", side(k, &f->child_side));
	set(k, o, "regions", regions_of(k, r, f->id));
	put_row(k, o);
}

static json_t *group(struct sink *k, const struct cowtrace_group *g)
{
	json_t *o = json_object();

	set(k, o, "site", text_or_null(g->site_text));
	set(k, o, "caller", text_or_null(g->caller));
	set_text(k, o, "lineage", g->lineage);
	set(k, o, "depth", json_integer(g->depth));
	set(k, o, "forks", json_integer(g->nr_forks));
	set(k, o, "sides_unread", json_integer(g->nr_unread));
	set_count(k, o, "pages_shared", g->pages_shared);
	set_count(k, o, "huge_pages_shared", g->huge_pages_shared);
	set_count(k, o, "parent_copied", g->parent_copied);
	set_count(k, o, "child_copied", g->child_copied);
	set_count(k, o, "parent_dropped", g->parent_dropped);
	set_count(k, o, "child_dropped", g->child_dropped);
	set_count(k, o, "child_new", g->child_fresh);
	set_count(k, o, "unknown", g->unknown);
	set_count(k, o, "copied_min", g->copied_min);
	set_count(k, o, "copied_max", g->copied_max);
	set_count(k, o, "fork_ns_sum", g->fork_ns_sum);
	set_count(k, o, "fork_ns_max", g->fork_ns_max);
	set(k, o, "max_fork_id", id_or_null(g->max_fork));
	set_count(k, o, "max_copied", g->max_copied);
	return o;
}

static void put_region(struct sink *k, const struct cowtrace_region *g)
{
	json_t *o = json_object();

	set(k, o, "id", json_integer(g->id));
	set(k, o, "pid", json_integer(g->pid));
	set(k, o, "process_id", id_or_null(g->process));
	set_text(k, o, "kind", g->kind);
	set_count(k, o, "start", g->start);
	set_count(k, o, "end", g->end);
	set_text(k, o, "name", g->name);
	set(k, o, "tagged", json_boolean(g->tagged));
	set(k, o, "site", text_or_null(g->site_text));
	set(k, o, "site_id", id_or_null(g->site));
	set_text(k, o, "thp", g->thp);
	set_text(k, o, "ksm", g->ksm);
	set_text(k, o, "fork_advice", g->fork_advice);
	set_count(k, o, "t_ns", g->t_ns);
	set_count(k, o, "shared", g->shared);
	set_count(k, o, "copied", g->copied);
	set_count(k, o, "dropped", g->dropped);
	set_count(k, o, "new", g->fresh);
	set_count(k, o, "unknown", g->unknown);
	put_row(k, o);
}

static void put_region_group(struct sink *k, const struct cowtrace_region_group *g)
{
	json_t *o = json_object();

	set_text(k, o, "kind", g->kind);
	set_text(k, o, "name", g->name);
	set(k, o, "tagged", json_boolean(g->tagged));
	set(k, o, "site", text_or_null(g->site_text));
	set_text(k, o, "thp", g->thp);
	set_text(k, o, "ksm", g->ksm);
	set_text(k, o, "fork_advice", g->fork_advice);
	set(k, o, "regions", json_integer(g->nr_regions));
	set(k, o, "processes", json_integer(g->nr_processes));
	set_count(k, o, "bytes", g->len);
	set_count(k, o, "shared", g->shared);
	set_count(k, o, "copied", g->copied);
	set_count(k, o, "dropped", g->dropped);
	set_count(k, o, "new", g->fresh);
	set_count(k, o, "unknown", g->unknown);
	put_row(k, o);
}

static void put_bucket(struct sink *k, const struct cowtrace_bucket *b)
{
	json_t *o = json_object();

	set_count(k, o, "t_ns", b->t_ns);
	set(k, o, "fork_id", json_integer(b->fork));
	set_text(k, o, "side", b->side);
	set_count(k, o, "copied", b->copied);
	put_row(k, o);
}

static void put_reconcile(struct sink *k, const struct cowtrace_reconcile *c)
{
	json_t *o = json_object(), *reasons = json_object();

	for (size_t i = 0; i < c->nr_reasons; i++)
		set_count(k, reasons, c->unattributed[i].reason, c->unattributed[i].pages);
	set(k, o, "pid", json_integer(c->pid));
	set(k, o, "process_id", id_or_null(c->process));
	set(k, o, "fork_id", id_or_null(c->fork));
	set(k, o, "side", text_or_null(c->side));
	set_count(k, o, "copied", c->copied);
	set_count(k, o, "attributed", c->attributed);
	set(k, o, "unattributed", reasons);
	set(k, o, "coverage", c->coverage < 0 ? json_null() : json_real(c->coverage));
	set_count(k, o, "private_dirty_bytes", c->private_dirty_len);
	set_count(k, o, "census_private_bytes", c->census_private_len);
	set_count(k, o, "witness_ns", c->witness_ns);
	set_text(k, o, "why", c->why);
	put_row(k, o);
}

static json_t *frames(struct sink *k, const struct cowtrace_site *s)
{
	json_t *a = json_array();

	for (u32 i = 0; i < s->nr_frames; i++) {
		const struct cowtrace_frame *f = &s->frames[i];
		json_t *o = json_object();

		set_text(k, o, "function", f->function);
		set(k, o, "file", text_or_null(f->file));
		set(k, o, "line", f->line ? json_integer(f->line) : json_null());
		set(k, o, "module", text_or_null(f->module));
		set_count(k, o, "offset", f->offset);
		set(k, o, "inlined", json_boolean(f->inlined));
		if (json_array_append_new(a, o))
			k->no_memory = true;
	}
	return a;
}

static void put_site(struct sink *k, const struct cowtrace_site *s)
{
	json_t *o = json_object();

	set(k, o, "id", json_integer(s->id));
	set_text(k, o, "text", s->text);
	set(k, o, "caller", text_or_null(s->caller));
	set(k, o, "frames", frames(k, s));
	put_row(k, o);
}

static void put_note(struct sink *k, const struct cowtrace_note *n)
{
	json_t *o = json_object();

	set_count(k, o, "t_ns", n->t_ns);
	set(k, o, "pid", n->process ? json_integer(n->pid) : json_null());
	set_text(k, o, "severity", n->severity);
	set_text(k, o, "code", n->code);
	set_text(k, o, "text", n->text);
	put_row(k, o);
}

#define PUT_ARRAY(k, r, key, one, many)                                   \
	do {                                                              \
		begin_array(k, key);                                      \
		for (size_t i = 0; i < cowtrace_report_nr_##many(r); i++) \
			put_##one(k, cowtrace_report_##one(r, i));        \
		end_array(k);                                             \
	} while (0)

int ct_export_json(const struct cowtrace_report *r, FILE *out)
{
	struct sink k = { .out = out };

	put_recording(&k, r);
	PUT_ARRAY(&k, r, "processes", process, processes);
	begin_array(&k, "forks");
	for (size_t i = 0; i < cowtrace_report_nr_forks(r); i++)
		put_fork(&k, r, cowtrace_report_fork(r, i));
	end_array(&k);
	begin_array(&k, "groups");
	for (size_t i = 0; i < cowtrace_report_nr_groups(r); i++)
		put_row(&k, group(&k, cowtrace_report_group(r, i)));
	end_array(&k);
	put_pair(&k, "total", group(&k, cowtrace_report_total(r)));
	PUT_ARRAY(&k, r, "regions", region, regions);
	PUT_ARRAY(&k, r, "region_groups", region_group, region_groups);
	PUT_ARRAY(&k, r, "timeline", bucket, buckets);
	PUT_ARRAY(&k, r, "reconcile", reconcile, reconcile);
	PUT_ARRAY(&k, r, "sites", site, sites);
	PUT_ARRAY(&k, r, "notes", note, notes);
	fputs("}\n", out);
	if (ferror(out))
		return -EIO;
	return k.no_memory ? -ENOMEM : 0;
}
