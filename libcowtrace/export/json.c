/* SPDX-License-Identifier: MIT */
/*
 * A report as JSON.  Each row becomes a small jansson object and is written at
 * once: a hundred thousand regions never stand in memory as a tree.  How rows are
 * written is in sink.c, what an engine saw in json_writes.c.
 *
 * Invariant: what is unknown is null, never 0 and never left out.
 */
#include <errno.h>

#include "export/json.h"
#include "export/sink.h"

static void put_recording(struct ct_sink *k, const struct cowtrace_report *r)
{
	const struct cowtrace_recording *rec = cowtrace_report_recording(r);
	json_t *command = json_array();

	for (size_t i = 0; i < rec->nr_args; i++)
		if (json_array_append_new(command, ct_json_text(rec->command[i])))
			k->no_memory = true;
	fprintf(k->out, "{\"schema_version\":%d", CT_JSON_SCHEMA_VERSION);
	ct_json_put_pair(k, "command", command);
	ct_json_put_pair(k, "engine", ct_json_text(rec->engine));
	ct_json_put_pair(k, "engine_why", ct_json_text_or_null(rec->engine_why));
	ct_json_put_pair(k, "kernel", ct_json_text(rec->kernel));
	ct_json_put_pair(k, "host", ct_json_text_or_null(rec->host));
	ct_json_put_pair(k, "page_frames", json_boolean(rec->page_frames));
	ct_json_put_pair(k, "complete", json_boolean(rec->complete));
	ct_json_put_pair(k, "why_incomplete", ct_json_text_or_null(rec->why_incomplete));
	ct_json_put_pair(k, "writer_pid", ct_json_id_or_null((u32)rec->writer_pid));
	ct_json_put_pair(k, "end_ns", ct_json_count(rec->end_ns));
	ct_json_put_pair(k, "file", ct_json_id_or_null(rec->file));
	ct_json_put_pair(k, "next_file", ct_json_id_or_null(rec->next_file));
	ct_json_put_pair(k, "file_start_ns", ct_json_count(rec->file_start_ns));
}

static void put_process(struct ct_sink *k, const struct cowtrace_process *p)
{
	json_t *o = json_object();

	ct_json_set(k, o, "id", json_integer(p->id));
	ct_json_set(k, o, "parent_id", ct_json_id_or_null(p->parent));
	ct_json_set(k, o, "pid", json_integer(p->pid));
	ct_json_set(k, o, "parent_pid", json_integer(p->parent_pid));
	ct_json_set_text(k, o, "comm", p->comm);
	ct_json_set(k, o, "exe", ct_json_text_or_null(p->exe));
	ct_json_set_count(k, o, "start_ns", p->start_ns);
	ct_json_set_count(k, o, "end_ns", p->end_ns);
	ct_json_set_text(k, o, "ended", p->ended);
	ct_json_set(k, o, "wait_status", p->wstatus < 0 ? json_null() : json_integer(p->wstatus));
	ct_json_set(k, o, "depth", json_integer(p->depth));
	ct_json_put_row(k, o);
}

static json_t *side(struct ct_sink *k, const struct cowtrace_side *s)
{
	json_t *o = json_object();

	ct_json_set_text(k, o, "ended", s->ended);
	ct_json_set_count(k, o, "t_ns", s->t_ns);
	ct_json_set_count(k, o, "copied", s->copied);
	ct_json_set_count(k, o, "dropped", s->dropped);
	ct_json_set_count(k, o, "new", s->fresh);
	ct_json_set_count(k, o, "unknown", s->unknown);
	ct_json_set_count(k, o, "kept", s->kept);
	ct_json_set_count(k, o, "attributed", s->attributed);
	return o;
}

static json_t *fork_region(struct ct_sink *k, const struct cowtrace_fork_region *g)
{
	json_t *o = json_object();

	ct_json_set(k, o, "region", json_integer(g->region));
	ct_json_set_text(k, o, "side", g->side);
	ct_json_set_count(k, o, "shared", g->shared);
	ct_json_set_count(k, o, "huge", g->huge);
	ct_json_set_count(k, o, "copied", g->copied);
	ct_json_set_count(k, o, "dropped", g->dropped);
	ct_json_set_count(k, o, "new", g->fresh);
	ct_json_set_count(k, o, "unknown", g->unknown);
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

static json_t *regions_of(struct ct_sink *k, const struct cowtrace_report *r, u32 fork)
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

static void put_fork(struct ct_sink *k, const struct cowtrace_report *r,
		     const struct cowtrace_fork *f)
{
	json_t *o = json_object(), *total = json_object();

	ct_json_set(k, o, "id", json_integer(f->id));
	ct_json_set(k, o, "parent_pid", json_integer(f->parent_pid));
	ct_json_set(k, o, "child_pid", json_integer(f->child_pid));
	ct_json_set(k, o, "parent_id", ct_json_id_or_null(f->parent));
	ct_json_set(k, o, "child_id", ct_json_id_or_null(f->child));
	ct_json_set(k, o, "depth", json_integer(f->depth));
	ct_json_set(k, o, "site", ct_json_text_or_null(f->site_text));
	ct_json_set(k, o, "site_id", ct_json_id_or_null(f->site));
	ct_json_set(k, o, "phase", ct_json_text_or_null(f->phase));
	ct_json_set_text(k, o, "how", f->how);
	ct_json_set_count(k, o, "fork_ns", f->fork_ns);
	ct_json_set_count(k, o, "arm_ns", f->arm_ns);
	ct_json_set_count(k, o, "event_ns", f->event_ns);
	ct_json_set_count(k, o, "hold_ns", f->hold_ns);
	ct_json_set_count(k, o, "start_ns", f->start_ns);
	ct_json_set_count(k, o, "end_ns", f->end_ns);
	ct_json_set_count(k, o, "pages_shared", f->pages_shared);
	ct_json_set_count(k, o, "huge_pages_shared", f->huge_pages_shared);
	ct_json_set_count(k, o, "swapped", f->swapped);
	ct_json_set(k, o, "late", json_boolean(f->late));
	ct_json_set(k, o, "carried", json_boolean(f->carried));
	ct_json_set_count(k, o, "pages_at_fork", f->pages_at_fork);
	ct_json_set_count(k, total, "min", f->copied_min);
	ct_json_set_count(k, total, "max", f->copied_max);
	ct_json_set(k, o, "copied_total", total);
	ct_json_set(k, o, "parent", side(k, &f->parent_side));
	ct_json_set(k, o, "child", side(k, &f->child_side));
	ct_json_set(k, o, "regions", regions_of(k, r, f->id));
	ct_json_put_row(k, o);
}

static json_t *group(struct ct_sink *k, const struct cowtrace_group *g)
{
	json_t *o = json_object();

	ct_json_set(k, o, "site", ct_json_text_or_null(g->site_text));
	ct_json_set(k, o, "caller", ct_json_text_or_null(g->caller));
	ct_json_set_text(k, o, "lineage", g->lineage);
	ct_json_set(k, o, "depth", json_integer(g->depth));
	ct_json_set(k, o, "forks", json_integer(g->nr_forks));
	ct_json_set(k, o, "sides_unread", json_integer(g->nr_unread));
	ct_json_set_count(k, o, "pages_shared", g->pages_shared);
	ct_json_set_count(k, o, "huge_pages_shared", g->huge_pages_shared);
	ct_json_set_count(k, o, "parent_copied", g->parent_copied);
	ct_json_set_count(k, o, "child_copied", g->child_copied);
	ct_json_set_count(k, o, "parent_dropped", g->parent_dropped);
	ct_json_set_count(k, o, "child_dropped", g->child_dropped);
	ct_json_set_count(k, o, "child_new", g->child_fresh);
	ct_json_set_count(k, o, "unknown", g->unknown);
	ct_json_set_count(k, o, "copied_min", g->copied_min);
	ct_json_set_count(k, o, "copied_max", g->copied_max);
	ct_json_set_count(k, o, "fork_ns_sum", g->fork_ns_sum);
	ct_json_set_count(k, o, "fork_ns_max", g->fork_ns_max);
	ct_json_set(k, o, "max_fork_id", ct_json_id_or_null(g->max_fork));
	ct_json_set_count(k, o, "max_copied", g->max_copied);
	return o;
}

static void put_region(struct ct_sink *k, const struct cowtrace_region *g)
{
	json_t *o = json_object();

	ct_json_set(k, o, "id", json_integer(g->id));
	ct_json_set(k, o, "pid", json_integer(g->pid));
	ct_json_set(k, o, "process_id", ct_json_id_or_null(g->process));
	ct_json_set_text(k, o, "kind", g->kind);
	ct_json_set_count(k, o, "start", g->start);
	ct_json_set_count(k, o, "end", g->end);
	ct_json_set_text(k, o, "name", g->name);
	ct_json_set(k, o, "tagged", json_boolean(g->tagged));
	ct_json_set(k, o, "site", ct_json_text_or_null(g->site_text));
	ct_json_set(k, o, "site_id", ct_json_id_or_null(g->site));
	ct_json_set_text(k, o, "thp", g->thp);
	ct_json_set_text(k, o, "ksm", g->ksm);
	ct_json_set_text(k, o, "fork_advice", g->fork_advice);
	ct_json_set_count(k, o, "t_ns", g->t_ns);
	ct_json_set_count(k, o, "shared", g->shared);
	ct_json_set_count(k, o, "copied", g->copied);
	ct_json_set_count(k, o, "dropped", g->dropped);
	ct_json_set_count(k, o, "new", g->fresh);
	ct_json_set_count(k, o, "unknown", g->unknown);
	ct_json_put_row(k, o);
}

static void put_region_group(struct ct_sink *k, const struct cowtrace_region_group *g)
{
	json_t *o = json_object();

	ct_json_set_text(k, o, "kind", g->kind);
	ct_json_set_text(k, o, "name", g->name);
	ct_json_set(k, o, "tagged", json_boolean(g->tagged));
	ct_json_set(k, o, "site", ct_json_text_or_null(g->site_text));
	ct_json_set_text(k, o, "thp", g->thp);
	ct_json_set_text(k, o, "ksm", g->ksm);
	ct_json_set_text(k, o, "fork_advice", g->fork_advice);
	ct_json_set(k, o, "regions", json_integer(g->nr_regions));
	ct_json_set(k, o, "processes", json_integer(g->nr_processes));
	ct_json_set_count(k, o, "bytes", g->len);
	ct_json_set_count(k, o, "shared", g->shared);
	ct_json_set_count(k, o, "copied", g->copied);
	ct_json_set_count(k, o, "dropped", g->dropped);
	ct_json_set_count(k, o, "new", g->fresh);
	ct_json_set_count(k, o, "unknown", g->unknown);
	ct_json_put_row(k, o);
}

static void put_bucket(struct ct_sink *k, const struct cowtrace_bucket *b)
{
	json_t *o = json_object();

	ct_json_set_count(k, o, "t_ns", b->t_ns);
	ct_json_set(k, o, "fork_id", json_integer(b->fork));
	ct_json_set_text(k, o, "side", b->side);
	ct_json_set_count(k, o, "copied", b->copied);
	ct_json_put_row(k, o);
}

static void put_reconcile(struct ct_sink *k, const struct cowtrace_reconcile *c)
{
	json_t *o = json_object(), *reasons = json_object();

	for (size_t i = 0; i < c->nr_reasons; i++)
		ct_json_set_count(k, reasons, c->unattributed[i].reason, c->unattributed[i].pages);
	ct_json_set(k, o, "pid", json_integer(c->pid));
	ct_json_set(k, o, "process_id", ct_json_id_or_null(c->process));
	ct_json_set(k, o, "fork_id", ct_json_id_or_null(c->fork));
	ct_json_set(k, o, "side", ct_json_text_or_null(c->side));
	ct_json_set_count(k, o, "copied", c->copied);
	ct_json_set_count(k, o, "attributed", c->attributed);
	ct_json_set(k, o, "unattributed", reasons);
	ct_json_set(k, o, "coverage", c->coverage < 0 ? json_null() : json_real(c->coverage));
	ct_json_set_count(k, o, "private_dirty_bytes", c->private_dirty_len);
	ct_json_set_count(k, o, "census_private_bytes", c->census_private_len);
	ct_json_set_count(k, o, "witness_ns", c->witness_ns);
	ct_json_set_text(k, o, "why", c->why);
	ct_json_put_row(k, o);
}

static void put_note(struct ct_sink *k, const struct cowtrace_note *n)
{
	json_t *o = json_object();

	ct_json_set_count(k, o, "t_ns", n->t_ns);
	ct_json_set(k, o, "pid", n->process ? json_integer(n->pid) : json_null());
	ct_json_set_text(k, o, "severity", n->severity);
	ct_json_set_text(k, o, "code", n->code);
	ct_json_set_text(k, o, "text", n->text);
	ct_json_put_row(k, o);
}

#define PUT_ARRAY(k, r, key, one, many)                                   \
	do {                                                              \
		ct_json_begin_array(k, key);                              \
		for (size_t i = 0; i < cowtrace_report_nr_##many(r); i++) \
			put_##one(k, cowtrace_report_##one(r, i));        \
		ct_json_end_array(k);                                     \
	} while (0)

int ct_export_json(const struct cowtrace_report *r, FILE *out)
{
	struct ct_sink k = { .out = out };

	put_recording(&k, r);
	PUT_ARRAY(&k, r, "processes", process, processes);
	ct_json_begin_array(&k, "forks");
	for (size_t i = 0; i < cowtrace_report_nr_forks(r); i++)
		put_fork(&k, r, cowtrace_report_fork(r, i));
	ct_json_end_array(&k);
	ct_json_begin_array(&k, "groups");
	for (size_t i = 0; i < cowtrace_report_nr_groups(r); i++)
		ct_json_put_row(&k, group(&k, cowtrace_report_group(r, i)));
	ct_json_end_array(&k);
	ct_json_put_pair(&k, "total", group(&k, cowtrace_report_total(r)));
	PUT_ARRAY(&k, r, "regions", region, regions);
	PUT_ARRAY(&k, r, "region_groups", region_group, region_groups);
	PUT_ARRAY(&k, r, "timeline", bucket, buckets);
	PUT_ARRAY(&k, r, "reconcile", reconcile, reconcile);
	ct_json_put_writes(&k, r);
	PUT_ARRAY(&k, r, "notes", note, notes);
	fputs("}\n", out);
	if (ferror(out))
		return -EIO;
	return k.no_memory ? -ENOMEM : 0;
}
