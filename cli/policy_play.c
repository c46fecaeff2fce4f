/* SPDX-License-Identifier: MIT */
/*
 * Printing of played scenarios.  What happens in them is policy_scenario.c's.
 *
 * Invariant: text and JSON are made from the same steps.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "exit.h"
#include "policy_play.h"
#include "policy_scenario.h"

static json_t *reasons_json(const struct ct_effect *eff)
{
	json_t *obj = json_object();

	for (int r = 0; r < COWTRACE_NR_REASONS; r++)
		if (eff->reasons[r])
			json_object_set_new(obj, cowtrace_reason_name(r),
					    json_integer(eff->reasons[r]));
	return obj;
}

static void step_json(void *arg, const struct ct_scenario_step *st)
{
	const struct ct_effect *e = st->effect;
	json_t *step =
		json_pack("{s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "line", st->line,
			  "event", st->event, "reuse", (json_int_t)e->reuse, "copy",
			  (json_int_t)e->copy, "copied_huge", (json_int_t)e->copied_huge, "split",
			  (json_int_t)e->split, "zeroed", (json_int_t)e->zeroed, "fresh",
			  (json_int_t)e->fresh, "uncertain", (json_int_t)e->uncertain, "huge",
			  (json_int_t)st->huge);

	json_object_set_new(step, "reasons", reasons_json(e));
	json_array_append_new(arg, step);
}

static int play_json(const struct ct_scenario *sc, const enum cowtrace_model_id *models, size_t nr,
		     struct ct_err *err)
{
	json_t *all = json_array(), *out = NULL;
	int rc = 0;

	for (size_t i = 0; i < nr && !rc; i++) {
		json_t *steps = json_array();

		rc = ct_scenario_play(sc, models[i], step_json, steps, err);
		json_array_append_new(all, json_pack("{s:s, s:o}", "model",
						     cowtrace_model_get(models[i])->name, "steps",
						     steps));
	}
	if (!rc) {
		out = nr == 1 ? json_incref(json_array_get(all, 0))
			      : json_pack("{s:O}", "models", all);
		json_dumpf(out, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
		putchar('\n');
	}
	json_decref(out);
	json_decref(all);
	return rc;
}

/* "reuse 510, copy 1, split 1": what happened, zeros left out. */
static void print_effect(const struct ct_effect *e)
{
	const struct {
		const char *name;
		u64 nr;
	} parts[] = {
		{ "reuse", e->reuse },	       { "copy", e->copy },
		{ "zeroed", e->zeroed },       { "new", e->fresh },
		{ "split", e->split },	       { "copied huge", e->copied_huge },
		{ "uncertain", e->uncertain },
	};
	const char *sep = "";

	for (size_t i = 0; i < ct_array_size(parts); i++) {
		if (!parts[i].nr)
			continue;
		printf("%s%s %lu", sep, parts[i].name, (unsigned long)parts[i].nr);
		sep = ", ";
	}
}

static void step_text(void *arg, const struct ct_scenario_step *st)
{
	const char *sep = "  (";

	printf("%4d  %-32s ", st->line, st->event);
	print_effect(st->effect);
	for (int r = 0; r < COWTRACE_NR_REASONS; r++) {
		if (!st->effect->reasons[r] || r == COWTRACE_REASON_NOT_PRESENT)
			continue;
		printf("%s%s %lu", sep, cowtrace_reason_name(r),
		       (unsigned long)st->effect->reasons[r]);
		sep = ", ";
	}
	puts(*sep == ',' ? ")" : "");
}

static void step_unseen(void *arg, const struct ct_scenario_step *st)
{
}

static int play_text(const struct ct_scenario *sc, const enum cowtrace_model_id *models, size_t nr,
		     struct ct_err *err)
{
	/* An event that cannot happen is refused before anything is printed. */
	int rc = ct_scenario_play(sc, models[0], step_unseen, NULL, err);

	for (size_t i = 0; i < nr && !rc; i++) {
		const struct cowtrace_model *m = cowtrace_model_get(models[i]);

		printf("%s%s (%s)\n", i ? "\n" : "", m->name, m->versions);
		rc = ct_scenario_play(sc, models[i], step_text, NULL, err);
	}
	return rc;
}

int ct_policy_play(const char *path, const enum cowtrace_model_id *models, size_t nr, bool json)
{
	bool from_stdin = !strcmp(path, "-");
	FILE *in = from_stdin ? stdin : fopen(path, "re");
	struct ct_scenario *sc = NULL;
	struct ct_err err = { "" };
	int rc;

	if (!in) {
		fprintf(stderr, "cowtrace: %s: %s\n", path, strerror(errno));
		return CT_EXIT_USAGE;
	}
	rc = ct_scenario_load(in, from_stdin ? "stdin" : path, &sc, &err);
	if (!from_stdin)
		fclose(in);
	if (!rc)
		rc = json ? play_json(sc, models, nr, &err) : play_text(sc, models, nr, &err);
	ct_scenario_free(sc);
	if (!rc)
		return CT_EXIT_OK;
	fprintf(stderr, "cowtrace: %s\n", err.text);
	return rc == -EINVAL || rc == -EFAULT || rc == -EEXIST ? CT_EXIT_USAGE : CT_EXIT_FAILED;
}
