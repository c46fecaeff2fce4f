/* SPDX-License-Identifier: MIT */
/*
 * cowtrace doctor: what this kernel, user and container permit, which engine that
 * gives, and what would give more.  Everything is tried, nothing concluded from a
 * version; nothing is changed.
 *
 * Invariant: the exit status is the verdict, and the verdict is a function of the
 * facts alone.
 */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "doctor.h"
#include "exit.h"
#include "launch.h"

struct doctor_options {
	const char *format;
	bool quiet;
};

static const struct ct_opt doctor_opts[] = {
	{ "format", 'f', CT_OPT_CHOICE, "FORMAT", "text or json (default: text)",
	  offsetof(struct doctor_options, format), "text|json" },
	{ "quiet", 'q', CT_OPT_FLAG, NULL, "print nothing: the exit status is the answer",
	  offsetof(struct doctor_options, quiet), NULL },
	{ 0 },
};

const struct ct_command ct_command_doctor = {
	.name = "doctor",
	.summary = "say what can be recorded here, why not more, and how to get more",
	.operands = "",
	.details = "The exit status is 0 when all can be recorded, 1 when part of it can, 2 when\n"
		   "nothing can; 64 after a mistake in the command line.",
	.opts = doctor_opts,
	.run = ct_cmd_doctor,
};

static void probe(struct ct_doctor *d)
{
	struct ct_launch launch = { .argv = NULL };
	struct ct_err err = { "" };

	ct_probes_run(&d->probes);
	ct_memconf_read(&d->mem);
	d->gen_error = ct_kgen_probe(&d->gen);
	if (ct_launch_preload(&launch, &err))
		snprintf(d->preload_error, sizeof(d->preload_error), "%s", err.text);
}

static void decide(struct ct_doctor *d)
{
	enum ct_fact missing;

	d->facts = ct_probes_facts(&d->probes);
	if (d->gen_error)
		d->facts &= ~CT_FACT_BIT(CT_FACT_RULE);
	d->engine = ct_engine_choose(d->facts);
	ct_engine_explain(d->engine, d->facts, d->why, sizeof(d->why));
	if (d->engine != CT_ENGINE_ID_NONE && *d->preload_error) {
		d->engine = CT_ENGINE_ID_NONE;
		snprintf(d->why, sizeof(d->why), "nothing can be recorded: %s", d->preload_error);
	}
	if (d->engine == CT_ENGINE_ID_NONE)
		d->verdict = CT_VERDICT_NONE;
	else if (d->engine == CT_ENGINE_ID_UFFD && (d->gen.certain || d->gen_error) &&
		 ct_engine_ability(d->engine, d->facts, &missing) == CT_WHOLE)
		d->verdict = CT_VERDICT_FULL;
	else
		d->verdict = CT_VERDICT_PARTIAL;
}

static void check(struct ct_doctor *d)
{
	ct_doctor_check_recording(d);
	ct_doctor_check_uffd(d);
	ct_doctor_check_perf(d);
	ct_doctor_check_pages(d);
	ct_doctor_check_process(d);
	ct_doctor_explain_settings(d);
}

static int print(const struct ct_doctor *d, const struct doctor_options *o)
{
	static const int statuses[] = { CT_EXIT_DOCTOR_FULL, CT_EXIT_DOCTOR_PARTIAL,
					CT_EXIT_DOCTOR_NONE };
	int rc = 0;

	if (!o->quiet)
		rc = strcmp(o->format, "json") ? ct_doctor_print(d) : ct_doctor_print_json(d);
	if (!rc)
		return statuses[d->verdict];
	fprintf(stderr, "cowtrace doctor: %s\n",
		rc == -ENOMEM ? "out of memory" : "the answer could not be written out");
	return rc == -ENOMEM ? CT_EXIT_DOCTOR_FAILED : CT_EXIT_DOCTOR_OUTPUT;
}

int ct_cmd_doctor(int argc, char **argv)
{
	struct doctor_options o = { .format = "text" };
	int status, first = ct_opt_parse(&ct_command_doctor, argc, argv, &o, &status);
	struct ct_doctor *d;

	if (first >= 0 && first < argc)
		status = ct_usage_error(&ct_command_doctor, "there is nothing to give it: '%s'",
					argv[first]);
	if (first < 0 || first < argc)
		/* 2 is an answer here. */
		return status == CT_EXIT_USAGE ? CT_EXIT_DOCTOR_USAGE : status;
	d = calloc(1, sizeof(*d));
	if (!d) {
		fprintf(stderr, "cowtrace doctor: out of memory\n");
		return CT_EXIT_DOCTOR_FAILED;
	}
	probe(d);
	decide(d);
	check(d);
	status = print(d, &o);
	free(d);
	return status;
}
