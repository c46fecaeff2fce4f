/* SPDX-License-Identifier: MIT */
/*
 * cowtrace policy: the generations of the kernel's reuse-or-copy rule, to look at,
 * to ask, to compare, and to play scenarios with.
 *
 * Invariant: a state that no kernel can be in, and a name that nothing has, get a
 * sentence and exit status 2, never an answer.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/utsname.h>

#include "commands.h"
#include "exit.h"
#include "policy/parse.h"
#include "policy_play.h"
#include "sys/kgen.h"

struct policy_options {
	const char *model, *state, *format;
	bool all;
};

#define OFFSET(field) offsetof(struct policy_options, field)

static const struct ct_opt policy_opts[] = {
	{ "model", 'm', CT_OPT_STRING, "MODEL",
	  "a generation of `list`, or a kernel release such as 5.10\n"
	  "(default: this kernel's, by experiment)",
	  OFFSET(model), NULL },
	{ "state", 's', CT_OPT_STRING, "STATE",
	  "the page's state: mapcount=1,refcount=2,swapcache,!lru;\n"
	  "=? is not known; what is not named is as in an ordinary page;\n"
	  "addr=, vma_start=, vma_end=: does a huge page fit there?",
	  OFFSET(state), NULL },
	{ "all", 'a', CT_OPT_FLAG, NULL, "play by every model", OFFSET(all), NULL },
	{ "format", 'f', CT_OPT_CHOICE, "FORMAT", "text for people, or json (default: text)",
	  OFFSET(format), "text|json" },
	{ 0 },
};

const struct ct_command ct_command_policy = {
	.name = "policy",
	.summary = "ask the kernel's reuse-or-copy rules, of any generation",
	.operands = "list | explain | compare | play FILE | probe",
	.details = "list     the generations and their rules\n"
		   "explain  one rule on one page state: each condition in order, the verdict\n"
		   "compare  every rule on one page state\n"
		   "play     a scenario file (- is stdin) through a rule\n"
		   "probe    which rule the running kernel has, and the evidence\n\n"
		   "Why was this page copied on 5.10 and not on 6.18?\n"
		   "  cowtrace policy compare --state mapcount=1,swapcache",
	.opts = policy_opts,
	.run = ct_cmd_policy,
};

struct ask {
	struct policy_options o;
	bool json;
	enum cowtrace_model_id model;
	struct cowtrace_page_state st;
};

static void dump(json_t *obj)
{
	json_dumpf(obj, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(obj);
}

static json_t *model_json(const struct cowtrace_model *m)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "name", m->name, "versions", m->versions,
			 "rule", m->rule, "huge_rule", m->huge_rule, "source", m->source, "shipped",
			 m->shipped);
}

static int list(struct ask *a)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < COWTRACE_NR_MODELS; i++) {
		const struct cowtrace_model *m = cowtrace_model_get(i);

		json_array_append_new(all, model_json(m));
		if (!a->json)
			printf("%-9s %s\n          small  %s\n          huge   %s\n          "
			       "source %s\n",
			       m->name, m->versions, m->rule, m->huge_rule, m->source);
	}
	if (a->json)
		dump(json_pack("{s:O}", "models", all));
	json_decref(all);
	return CT_EXIT_OK;
}

static const char *truth_name(enum cowtrace_truth truth)
{
	static const char *const names[] = { "no", "yes", "unknown" };

	return names[truth];
}

static json_t *verdict_json(const struct cowtrace_verdict *v)
{
	json_t *obj = json_pack("{s:s, s:s}", "verdict", cowtrace_action_name(v->action), "reason",
				cowtrace_reason_name(v->reason));

	if (v->action == COWTRACE_UNCERTAIN) {
		json_object_set_new(obj, "decides", json_string(cowtrace_field_name(v->decides)));
		json_object_set_new(obj, "likely", json_string(cowtrace_action_name(v->likely)));
	}
	if (v->then < COWTRACE_NR_ACTIONS) {
		json_object_set_new(obj, "then", json_string(cowtrace_action_name(v->then)));
		json_object_set_new(obj, "then_reason",
				    json_string(cowtrace_reason_name(v->then_reason)));
	}
	return obj;
}

static void print_verdict(const struct cowtrace_verdict *v)
{
	const char *action = cowtrace_action_name(v->action);

	if (v->action == COWTRACE_UNCERTAIN)
		printf("%s: depends on %s; else %s", action, cowtrace_field_name(v->decides),
		       cowtrace_action_name(v->likely));
	else
		printf("%s", action);
	if (v->then < COWTRACE_NR_ACTIONS)
		printf(", then %s", cowtrace_action_name(v->then));
	printf(" (%s: %s)\n", cowtrace_reason_name(v->likely_reason),
	       cowtrace_reason_text(v->likely_reason));
}

static json_t *steps_json(const struct cowtrace_step *steps, size_t nr)
{
	json_t *arr = json_array();

	for (size_t i = 0; i < nr; i++) {
		const struct cowtrace_step *s = &steps[i];
		json_t *obj = json_pack("{s:s, s:s, s:i, s:s}", "condition",
					cowtrace_reason_name(s->reason), "input",
					cowtrace_field_name(s->field), "value", (int)s->value,
					"holds", truth_name(s->truth));

		if (s->action < COWTRACE_NR_ACTIONS)
			json_object_set_new(obj, "leads_to",
					    json_string(cowtrace_action_name(s->action)));
		json_array_append_new(arr, obj);
	}
	return arr;
}

static void print_steps(const struct cowtrace_step *steps, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		const struct cowtrace_step *s = &steps[i];
		char input[48];

		snprintf(input, sizeof(input), "%s=%u", cowtrace_field_name(s->field), s->value);
		printf("%2zu  %-8s %-22s %s: %s\n", i + 1, truth_name(s->truth),
		       s->truth == COWTRACE_MAYBE ? cowtrace_field_name(s->field) : input,
		       s->action < COWTRACE_NR_ACTIONS ? cowtrace_action_name(s->action) : "go on",
		       cowtrace_reason_text(s->reason));
	}
}

static int explain(struct ask *a)
{
	const struct cowtrace_model *m = cowtrace_model_get(a->model);
	struct cowtrace_step steps[COWTRACE_MAX_STEPS];
	struct cowtrace_verdict v;
	size_t nr;

	if (cowtrace_policy_explain(a->model, &a->st, steps, &nr, &v))
		return CT_EXIT_FAILED;
	if (a->json) {
		json_t *obj = verdict_json(&v);

		json_object_set_new(obj, "model", json_string(m->name));
		json_object_set_new(obj, "steps", steps_json(steps, nr));
		dump(obj);
		return CT_EXIT_OK;
	}
	printf("%s (%s): %s\n", m->name, m->versions,
	       cowtrace_page_state_get(&a->st, COWTRACE_FIELD_PMD) ? m->huge_rule : m->rule);
	print_steps(steps, nr);
	print_verdict(&v);
	return CT_EXIT_OK;
}

static int compare(struct ask *a)
{
	json_t *all = json_array();

	for (unsigned int i = 0; i < COWTRACE_NR_MODELS; i++) {
		const struct cowtrace_model *m = cowtrace_model_get(i);
		struct cowtrace_verdict v;
		json_t *obj;

		if (cowtrace_policy_judge(i, &a->st, &v))
			continue;
		obj = verdict_json(&v);
		json_object_set_new(obj, "model", json_string(m->name));
		json_object_set_new(obj, "versions", json_string(m->versions));
		json_array_append_new(all, obj);
		if (a->json)
			continue;
		printf("%-9s %-21s ", m->name, m->versions);
		print_verdict(&v);
	}
	if (a->json)
		dump(json_pack("{s:O}", "models", all));
	json_decref(all);
	return CT_EXIT_OK;
}

static int probe(struct ask *a)
{
	struct ct_kgen gen;
	struct utsname un;
	int rc = ct_kgen_probe(&gen);

	if (rc) {
		fprintf(stderr, "cowtrace: this kernel's rule cannot be found out: %s\n",
			strerror(-rc));
		return CT_EXIT_FAILED;
	}
	uname(&un);
	if (a->json) {
		json_t *ev = json_array();

		for (size_t i = 0; i < gen.nr_evidence; i++)
			json_array_append_new(ev, json_string(gen.evidence[i]));
		dump(json_pack("{s:s, s:b, s:s, s:I, s:o}", "model", gen.model, "certain",
			       gen.certain, "release", un.release, "took_ns",
			       (json_int_t)gen.took_ns, "evidence", ev));
		return CT_EXIT_OK;
	}
	printf("%s%s\n", gen.model, gen.certain ? "" : " (as far as could be told)");
	for (size_t i = 0; i < gen.nr_evidence; i++)
		printf("  %s\n", gen.evidence[i]);
	return CT_EXIT_OK;
}

/* The model asked for, else the running kernel's. */
static int pick_model(struct ask *a)
{
	struct ct_kgen gen;
	struct ct_err err;

	if (!a->o.model && !ct_kgen_probe(&gen))
		return cowtrace_model_find(gen.model, &a->model) ? CT_EXIT_FAILED : CT_EXIT_OK;
	if (!a->o.model) {
		fprintf(stderr, "cowtrace: this kernel's rule cannot be found out: give --model\n");
		return CT_EXIT_FAILED;
	}
	if (!ct_model_parse(a->o.model, &a->model, &err))
		return CT_EXIT_OK;
	fprintf(stderr, "cowtrace: %s\n", err.text);
	return CT_EXIT_USAGE;
}

static int pick_state(struct ask *a)
{
	struct ct_err err;

	if (!a->o.state)
		return ct_usage_error(&ct_command_policy,
				      "give the page's state: --state mapcount=1,refcount=2");
	if (!ct_state_parse(a->o.state, &a->st, &err))
		return CT_EXIT_OK;
	fprintf(stderr, "cowtrace: --state: %s\n", err.text);
	return CT_EXIT_USAGE;
}

static int play(struct ask *a, const char *path)
{
	enum cowtrace_model_id ids[COWTRACE_NR_MODELS];
	size_t nr = COWTRACE_NR_MODELS;
	int status;

	for (unsigned int i = 0; i < COWTRACE_NR_MODELS; i++)
		ids[i] = i;
	if (!a->o.all) {
		status = pick_model(a);
		if (status)
			return status;
		ids[0] = a->model;
		nr = 1;
	}
	return ct_policy_play(path, ids, nr, a->json);
}

static const char *verb_at(unsigned int i)
{
	static const char *const verbs[] = { "list", "explain", "compare", "play", "probe" };

	return verbs[i];
}

static int no_such_verb(const char *verb)
{
	const char *near = ct_name_nearest(verb, verb_at, 5);

	if (near)
		return ct_usage_error(&ct_command_policy, "there is no '%s': did you mean '%s'?",
				      verb, near);
	return ct_usage_error(&ct_command_policy, "there is no '%s': %s", verb,
			      ct_command_policy.operands);
}

int ct_cmd_policy(int argc, char **argv)
{
	struct ask a = { .o = { .format = "text" } };
	int status, first = ct_opt_parse(&ct_command_policy, argc, argv, &a.o, &status);
	const char *verb = first >= 0 && first < argc ? argv[first] : "";
	bool playing = !strcmp(verb, "play");

	if (first < 0)
		return status;
	a.json = !strcmp(a.o.format, "json");
	if (first == argc)
		return ct_usage_error(&ct_command_policy, "say which: %s",
				      ct_command_policy.operands);
	if (argc - first > 1 + playing)
		return ct_usage_error(&ct_command_policy, "there is one word too many: %s",
				      argv[first + 1 + playing]);
	if (playing)
		return argc - first == 2 ? play(&a, argv[first + 1])
					 : ct_usage_error(&ct_command_policy, "play which file?");
	if (!strcmp(verb, "list"))
		return list(&a);
	if (!strcmp(verb, "probe"))
		return probe(&a);
	if (!strcmp(verb, "compare")) {
		status = pick_state(&a);
		return status ? status : compare(&a);
	}
	if (!strcmp(verb, "explain")) {
		status = pick_state(&a);
		if (!status)
			status = pick_model(&a);
		return status ? status : explain(&a);
	}
	return no_such_verb(verb);
}
