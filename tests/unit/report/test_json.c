/* SPDX-License-Identifier: MIT */
/*
 * The JSON of the known trace against golden*.json, byte for byte: a key that
 * goes, a null that becomes 0, a name that is not UTF-8 all show.  After a wanted
 * change: UPDATE_GOLDEN=1, and read the difference.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/json.h"
#include "scenario.h"

static char *export(const struct cowtrace_report *r)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_int_equal(ct_export_json(r, f), 0);
	fclose(f);
	return text;
}

static struct cowtrace_report *open_scenario(void (*write)(const char *))
{
	char path[] = "/tmp/ct-json-XXXXXX";
	char why[COWTRACE_REPORT_WHY_LEN];
	struct cowtrace_report *r;

	close(mkstemp(path));
	write(path);
	if (cowtrace_report_open(path, NULL, &r, why))
		fail_msg("%s", why);
	unlink(path);
	return r;
}

static char *read_golden(const char *path)
{
	char *text = NULL;
	size_t cap = 0;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_true(getdelim(&text, &cap, 0, f) > 0);
	fclose(f);
	return text;
}

static void write_golden(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void check_golden(void (*write)(const char *), const char *path)
{
	struct cowtrace_report *r = open_scenario(write);
	char *text = export(r), *golden;

	if (getenv("UPDATE_GOLDEN"))
		write_golden(path, text);
	golden = read_golden(path);
	assert_string_equal(text, golden);
	free(golden);
	free(text);
	cowtrace_report_close(r);
}

static void test_golden(void **state)
{
	check_golden(scenario_write, CT_GOLDEN "/golden.json");
}

static void test_golden_watched(void **state)
{
	check_golden(scenario_write_watched, CT_GOLDEN "/golden-writes.json");
}

/* The keys that are fixed, and their types, apart from any golden file. */
static const struct {
	const char *array, *keys;
} fixed[] = {
	{ "processes", "pid parent_pid comm start_ns end_ns ended" },
	{ "forks", "id parent_pid child_pid site phase fork_ns arm_ns event_ns start_ns end_ns "
		   "pages_shared huge_pages_shared copied_total parent child" },
	{ "regions", "id pid kind start end name tagged site thp ksm shared copied dropped" },
	{ "timeline", "t_ns fork_id side copied" },
	{ "reconcile",
	  "pid fork_id copied attributed unattributed coverage private_dirty_bytes why" },
	{ "sites", "id side fork_ids first_writes copies reuses zero_filled unknown copied_bytes "
		   "stall_ns frames" },
	{ "site_regions", "id kind name first_writes copies reuses" },
};

static void has_keys(json_t *row, const char *keys)
{
	char *copy = strdup(keys), *save = NULL;

	for (char *k = strtok_r(copy, " ", &save); k; k = strtok_r(NULL, " ", &save))
		if (!json_object_get(row, k))
			fail_msg("no key %s", k);
	free(copy);
}

static void test_fixed_keys(void **state)
{
	struct cowtrace_report *r = open_scenario(scenario_write_watched);
	char *text = export(r);
	json_t *root = json_loads(text, 0, NULL), *fork, *site, *agreement;

	assert_non_null(root);
	has_keys(root, "schema_version command engine kernel complete why_incomplete");
	for (size_t i = 0; i < ct_array_size(fixed); i++) {
		json_t *array = json_object_get(root, fixed[i].array);

		assert_true(json_array_size(array) > 0);
		for (size_t n = 0; n < json_array_size(array); n++)
			has_keys(json_array_get(array, n), fixed[i].keys);
	}
	fork = json_array_get(json_object_get(root, "forks"), 0);
	has_keys(json_object_get(fork, "copied_total"), "min max");
	has_keys(json_object_get(fork, "parent"), "copied dropped unknown attributed");
	has_keys(json_object_get(fork, "child"), "copied dropped new unknown attributed");
	site = json_array_get(json_object_get(root, "sites"), 0);
	has_keys(json_array_get(json_object_get(site, "frames"), 0),
		 "function file line module offset");
	agreement = json_object_get(root, "agreement");
	has_keys(agreement, "predicted_equal predicted_total uncertain disagreements");
	has_keys(json_array_get(json_object_get(agreement, "disagreements"), 0),
		 "pid page predicted observed reason");
	has_keys(json_object_get(root, "writes"),
		 "first_writes copies reuses zero_filled unknown without_stack stall_ns");
	json_decref(root);
	free(text);
	cowtrace_report_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_golden_watched),
		cmocka_unit_test(test_fixed_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
