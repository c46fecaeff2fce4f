/* SPDX-License-Identifier: MIT */
/*
 * The doctor's findings for programs (docs/doctor-json.md).
 *
 * Invariant: every key is always there; what does not apply is null or an empty list.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "doctor.h"

#define SCHEMA_VERSION 1

static json_t *engines(const struct ct_doctor *d)
{
	static const char *const abilities[] = { "cannot", "less", "whole" };
	json_t *list = json_array();

	for (enum ct_engine_id id = 0; id < CT_NR_ENGINE_IDS; id++) {
		enum ct_fact missing;
		enum ct_ability can = ct_engine_ability(id, d->facts, &missing);
		bool some = missing < CT_NR_FACTS;

		if (!ct_engine_is_built(id, d->facts))
			continue;
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s?, s:s?}", "name",
						ct_engine_id_name(id), "ability", abilities[can],
						"missing", some ? ct_fact_missing(missing) : NULL,
						"takes", some ? ct_fact_remedy(missing) : NULL));
	}
	return list;
}

static json_t *check(const struct ct_check *c)
{
	json_t *fixes = json_array();

	for (size_t i = 0; i < c->nr_fixes; i++)
		json_array_append_new(fixes,
				      json_pack("{s:s, s:s}", "by", ct_fix_by_name(c->fixes[i].by),
						"text", c->fixes[i].text));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:o}", "id", c->id, "group", c->group,
			 "name", c->name, "result", ct_check_result_name(c->result), "text",
			 c->text, "lost", c->loss, "fixes", fixes);
}

static json_t *checks(const struct ct_doctor *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->nr_checks; i++)
		json_array_append_new(list, check(&d->checks[i]));
	return list;
}

static json_t *settings(const struct ct_doctor *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->nr_settings; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:s}", "id", d->settings[i].id, "name",
					d->settings[i].name, "value", d->settings[i].value,
					"meaning", d->settings[i].meaning));
	return list;
}

int ct_doctor_print_json(const struct ct_doctor *d)
{
	struct utsname u = { "" };
	bool some = d->engine != CT_ENGINE_ID_NONE;
	json_t *root;
	int rc;

	uname(&u);
	root = json_pack("{s:i, s:s, s:s?, s:s, s:s, s:s, s:I, s:o, s:o, s:o}", "schema_version",
			 SCHEMA_VERSION, "verdict", ct_verdict_name(d->verdict), "engine",
			 some ? ct_engine_id_name(d->engine) : NULL, "why", d->why, "kernel",
			 u.release, "machine", u.machine, "user", (json_int_t)d->probes.place.uid,
			 "engines", engines(d), "checks", checks(d), "settings", settings(d));
	if (!root)
		return -ENOMEM;
	rc = json_dumpf(root, stdout, JSON_INDENT(1)) ? -EIO : 0;
	json_decref(root);
	putchar('\n');
	return fflush(stdout) || ferror(stdout) ? -EIO : rc;
}
