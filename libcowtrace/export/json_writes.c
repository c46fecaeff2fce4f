/* SPDX-License-Identifier: MIT */
/*
 * What an engine saw, as JSON: call sites of first writes, the memory they wrote
 * to, and the agreement of predicted and observed verdicts.
 */
#include "export/sink.h"

static json_t *frames(struct ct_sink *k, const struct cowtrace_frame *frame, u32 nr)
{
	json_t *a = json_array();

	for (const struct cowtrace_frame *f = frame; f < frame + nr; f++) {
		json_t *o = json_object();

		ct_json_set_text(k, o, "function", f->function);
		ct_json_set(k, o, "file", ct_json_text_or_null(f->file));
		ct_json_set(k, o, "line", f->line ? json_integer(f->line) : json_null());
		ct_json_set(k, o, "module", ct_json_text_or_null(f->module));
		ct_json_set_count(k, o, "offset", f->offset);
		ct_json_set(k, o, "inlined", json_boolean(f->inlined));
		if (json_array_append_new(a, o))
			k->no_memory = true;
	}
	return a;
}

/* Up to the last one that is not 0. */
static json_t *numbers(struct ct_sink *k, const uint32_t *v, u32 nr)
{
	json_t *a = json_array();

	while (nr && !v[nr - 1])
		nr--;
	for (u32 i = 0; i < nr; i++)
		if (json_array_append_new(a, json_integer(v[i])))
			k->no_memory = true;
	return a;
}

/*
 * A site that forked or mapped memory: nobody wrote there, which is known only
 * where an engine watched.
 */
static void put_site(struct ct_sink *k, const struct cowtrace_site *s, bool watched)
{
	static const char *const counts[] = { "first_writes", "copies",	 "reuses",
					      "zero_filled",  "unknown", "copied_bytes",
					      "stall_ns" };
	json_t *o = json_object();

	ct_json_set(k, o, "id", json_integer(s->id));
	ct_json_set(k, o, "side", json_null());
	ct_json_set(k, o, "site_id", json_integer(s->id));
	ct_json_set(k, o, "syscall", json_null());
	ct_json_set_text(k, o, "text", s->text);
	ct_json_set(k, o, "caller", ct_json_text_or_null(s->caller));
	ct_json_set(k, o, "fork_ids", json_array());
	for (size_t i = 0; i < ct_array_size(counts); i++)
		ct_json_set_count(k, o, counts[i], watched ? 0 : COWTRACE_UNKNOWN);
	ct_json_set(k, o, "over_time", json_array());
	ct_json_set(k, o, "frames", frames(k, s->frames, s->nr_frames));
	ct_json_put_row(k, o);
}

static void put_write_site(struct ct_sink *k, const struct cowtrace_report *r,
			   const struct cowtrace_write_site *s)
{
	const struct cowtrace_site *site = cowtrace_report_site_of(r, s->site);
	json_t *o = json_object(), *forks = json_array();

	for (u32 i = 0; i < s->nr_forks; i++)
		if (json_array_append_new(forks, ct_json_id_or_null(s->forks[i])))
			k->no_memory = true;
	ct_json_set(k, o, "id", json_integer(s->id));
	ct_json_set_text(k, o, "side", s->side);
	ct_json_set(k, o, "site_id", json_integer(s->site));
	ct_json_set(k, o, "syscall", ct_json_text_or_null(s->syscall));
	ct_json_set_text(k, o, "text", s->text);
	ct_json_set(k, o, "caller", ct_json_text_or_null(site->caller));
	ct_json_set(k, o, "fork_ids", forks);
	ct_json_set_count(k, o, "first_writes", s->first_writes);
	ct_json_set_count(k, o, "copies", s->copies);
	ct_json_set_count(k, o, "reuses", s->reuses);
	ct_json_set_count(k, o, "zero_filled", s->zero_filled);
	ct_json_set_count(k, o, "unknown", s->unknown);
	ct_json_set_count(k, o, "copied_bytes", s->copied_len);
	ct_json_set_count(k, o, "stall_ns", s->stall_ns);
	ct_json_set(k, o, "over_time", numbers(k, s->steps, cowtrace_report_writes(r)->nr_steps));
	ct_json_set(k, o, "frames", frames(k, s->frames, s->nr_frames));
	ct_json_put_row(k, o);
}

/* Those of first writes in the order that was asked for, then the others. */
static void put_sites(struct ct_sink *k, const struct cowtrace_report *r)
{
	ct_json_begin_array(k, "sites");
	for (size_t i = 0; i < cowtrace_report_nr_write_sites(r); i++)
		put_write_site(k, r, cowtrace_report_write_site(r, i));
	for (size_t i = 0; i < cowtrace_report_nr_sites(r); i++)
		if (cowtrace_report_site(r, i)->of_call)
			put_site(k, cowtrace_report_site(r, i), cowtrace_report_writes(r)->watched);
	ct_json_end_array(k);
}

static void put_site_region(struct ct_sink *k, const struct cowtrace_site_region *g)
{
	json_t *o = json_object();

	ct_json_set(k, o, "id", json_integer(g->write_site));
	ct_json_set(k, o, "kind", ct_json_text_or_null(g->kind));
	ct_json_set_text(k, o, "name", g->name);
	ct_json_set_count(k, o, "first_writes", g->first_writes);
	ct_json_set_count(k, o, "copies", g->copies);
	ct_json_set_count(k, o, "reuses", g->reuses);
	ct_json_put_row(k, o);
}

static void put_thp_loss(struct ct_sink *k, const struct cowtrace_thp_loss *l)
{
	json_t *o = json_object();

	ct_json_set_text(k, o, "cause", l->cause);
	ct_json_set(k, o, "site", ct_json_text_or_null(l->text));
	ct_json_set(k, o, "site_id", ct_json_id_or_null(l->site));
	ct_json_set(k, o, "pid", json_integer(l->pid));
	ct_json_set(k, o, "process_id", ct_json_id_or_null(l->process));
	ct_json_set(k, o, "region", ct_json_id_or_null(l->region));
	ct_json_set(k, o, "kind", ct_json_text_or_null(l->kind));
	ct_json_set_text(k, o, "name", l->name);
	ct_json_set_count(k, o, "events", l->events);
	ct_json_set_count(k, o, "bytes", l->len);
	ct_json_set_count(k, o, "regained_bytes", l->regained_len);
	ct_json_set_count(k, o, "copies", l->copies);
	ct_json_set_count(k, o, "reuses", l->reuses);
	ct_json_set_count(k, o, "reusable", l->reusable);
	ct_json_put_row(k, o);
}

static void put_totals(struct ct_sink *k, const struct cowtrace_writes *w)
{
	json_t *o = json_object(), *reasons = json_object(), *time = json_object();

	for (size_t i = 0; i < w->nr_reasons; i++)
		ct_json_set_count(k, reasons, w->without_stack[i].reason,
				  w->without_stack[i].pages);
	ct_json_set_count(k, time, "start_ns", w->step_ns ? w->steps_ns : COWTRACE_UNKNOWN);
	ct_json_set_count(k, time, "step_ns", w->step_ns ? w->step_ns : COWTRACE_UNKNOWN);
	ct_json_set(k, o, "watched", json_boolean(w->watched));
	ct_json_set_count(k, o, "faults", w->watched ? w->faults : COWTRACE_UNKNOWN);
	ct_json_set_count(k, o, "first_writes", w->watched ? w->first_writes : COWTRACE_UNKNOWN);
	ct_json_set_count(k, o, "copies", w->watched ? w->copies : COWTRACE_UNKNOWN);
	ct_json_set_count(k, o, "reuses", w->watched ? w->reuses : COWTRACE_UNKNOWN);
	ct_json_set_count(k, o, "zero_filled", w->watched ? w->zero_filled : COWTRACE_UNKNOWN);
	ct_json_set_count(k, o, "unknown", w->watched ? w->unknown : COWTRACE_UNKNOWN);
	ct_json_set(k, o, "without_stack", reasons);
	ct_json_set_count(k, o, "stall_ns", w->watched ? w->stall_ns : COWTRACE_UNKNOWN);
	ct_json_set_count(k, o, "fault_copy_ns", w->fault_copy_ns);
	ct_json_set_count(k, o, "fault_reuse_ns", w->fault_reuse_ns);
	ct_json_set_count(k, o, "fault_huge_ns", w->fault_huge_ns);
	ct_json_set(k, o, "over_time", time);
	ct_json_put_pair(k, "writes", o);
}

static json_t *disagreement(struct ct_sink *k, const struct cowtrace_disagreement *d)
{
	json_t *o = json_object();

	ct_json_set(k, o, "pid", json_integer(d->pid));
	ct_json_set_count(k, o, "page", d->page);
	ct_json_set_text(k, o, "predicted", d->predicted);
	ct_json_set_text(k, o, "observed", d->observed);
	ct_json_set_text(k, o, "reason", d->reason);
	ct_json_set(k, o, "process_id", ct_json_id_or_null(d->process));
	ct_json_set(k, o, "fork_id", ct_json_id_or_null(d->fork));
	ct_json_set(k, o, "side", ct_json_text(d->side));
	ct_json_set(k, o, "site_id", ct_json_id_or_null(d->site));
	ct_json_set(k, o, "huge", json_boolean(d->huge));
	ct_json_set_count(k, o, "t_ns", d->t_ns);
	return o;
}

static json_t *undecided(struct ct_sink *k, const struct cowtrace_undecided *u)
{
	json_t *o = json_object();

	ct_json_set(k, o, "decides", ct_json_text_or_null(u->decides));
	ct_json_set_count(k, o, "writes", u->writes);
	ct_json_set_count(k, o, "likely_equal", u->likely_equal);
	ct_json_set_count(k, o, "likely_total", u->likely_total);
	return o;
}

static void put_agreement(struct ct_sink *k, const struct cowtrace_agreement *a)
{
	json_t *o = json_object(), *list = json_array(), *why = json_array();

	for (size_t i = 0; i < a->nr_listed; i++)
		if (json_array_append_new(list, disagreement(k, &a->disagreements[i])))
			k->no_memory = true;
	for (size_t i = 0; i < a->nr_undecided; i++)
		if (json_array_append_new(why, undecided(k, &a->undecided[i])))
			k->no_memory = true;
	ct_json_set_count(k, o, "predicted_equal", a->predicted_equal);
	ct_json_set_count(k, o, "predicted_total", a->predicted_total);
	ct_json_set_count(k, o, "unobserved", a->unobserved);
	ct_json_set_count(k, o, "uncertain", a->uncertain);
	ct_json_set(k, o, "uncertain_by", why);
	ct_json_set_count(k, o, "disagreements_left_out", a->nr_disagreements - a->nr_listed);
	ct_json_set(k, o, "disagreements", list);
	ct_json_put_pair(k, "agreement", o);
}

void ct_json_put_writes(struct ct_sink *k, const struct cowtrace_report *r)
{
	put_totals(k, cowtrace_report_writes(r));
	put_sites(k, r);
	ct_json_begin_array(k, "site_regions");
	for (size_t i = 0; i < cowtrace_report_nr_site_regions(r); i++)
		put_site_region(k, cowtrace_report_site_region(r, i));
	ct_json_end_array(k);
	ct_json_begin_array(k, "thp_losses");
	for (size_t i = 0; i < cowtrace_report_nr_thp_losses(r); i++)
		put_thp_loss(k, cowtrace_report_thp_loss(r, i));
	ct_json_end_array(k);
	put_agreement(k, cowtrace_report_agreement(r));
}
