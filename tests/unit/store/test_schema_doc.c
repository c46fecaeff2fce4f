/* SPDX-License-Identifier: MIT */
/*
 * docs/trace-schema.md against the schema: every table has its heading, every
 * column its row under that heading, and nothing is documented that is not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "store/schema.h"

static char *doc;

static int setup(void **state)
{
	FILE *f = fopen(CT_SCHEMA_DOC, "r");
	size_t cap = 0;

	assert_non_null(f);
	assert_true(getdelim(&doc, &cap, 0, f) > 0);
	fclose(f);
	return 0;
}

static int teardown(void **state)
{
	free(doc);
	return 0;
}

static sqlite3 *empty_trace(void)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	for (size_t i = 0; ct_schema_sql[i]; i++)
		assert_int_equal(sqlite3_exec(db, ct_schema_sql[i], NULL, NULL, NULL), SQLITE_OK);
	return db;
}

/* The text from "## `table`" to the next heading of that level. */
static char *section(const char *table)
{
	char head[64];
	const char *start, *end;

	snprintf(head, sizeof(head), "\n## `%s`\n", table);
	start = strstr(doc, head);
	if (!start) {
		fail_msg("table %s is not documented", table);
		return NULL;
	}
	end = strstr(start + 4, "\n## ");
	return strndup(start, end ? (size_t)(end - start) : strlen(start));
}

/* Rows "| `name` | unit | meaning |": a table of three columns lists a table's columns. */
static int nr_documented(const char *text)
{
	int n = 0;

	text = strstr(text, "| column |");
	while (text && (text = strstr(text, "\n|"))) {
		text++;
		n += !strncmp(text, "| `", 3);
		if (!strncmp(strchrnul(text, '\n'), "\n\n", 2))
			break;
	}
	return n;
}

static void check_table(sqlite3 *db, const char *table)
{
	char *text = section(table);
	char sql[128], row[64];
	sqlite3_stmt *st;
	int n = 0;

	snprintf(sql, sizeof(sql), "SELECT name FROM pragma_table_info('%s')", table);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	for (; sqlite3_step(st) == SQLITE_ROW; n++) {
		snprintf(row, sizeof(row), "\n| `%s` |", sqlite3_column_text(st, 0));
		if (!strstr(text, row))
			fail_msg("column %s.%s is not documented", table,
				 sqlite3_column_text(st, 0));
	}
	sqlite3_finalize(st);
	assert_true(n > 0);
	if (nr_documented(text) != n)
		fail_msg("table %s has %d columns, %d are documented", table, n,
			 nr_documented(text));
	free(text);
}

static void test_tables(void **state)
{
	sqlite3 *db = empty_trace();
	sqlite3_stmt *st;
	int n = 0, headings = 0;

	assert_int_equal(sqlite3_prepare_v2(db, "SELECT name FROM sqlite_schema WHERE type='table'",
					    -1, &st, NULL),
			 SQLITE_OK);
	for (; sqlite3_step(st) == SQLITE_ROW; n++)
		check_table(db, (const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	sqlite3_close(db);
	for (const char *p = doc; (p = strstr(p, "\n## `")); p++)
		headings++;
	assert_int_equal(headings, n);
}

static void test_words(void **state)
{
	char word[32];

	for (int i = 0; i < CT_KIND_NR; i++) {
		snprintf(word, sizeof(word), "`%s`", ct_kind_name(i));
		if (!strstr(doc, word))
			fail_msg("kind %s is not documented", word);
	}
	for (int i = 0; ct_side_end_name(i); i++) {
		snprintf(word, sizeof(word), "`%s`", ct_side_end_name(i));
		if (!strstr(doc, word))
			fail_msg("end %s of a side is not documented", word);
	}
	for (int i = CT_SITE_KNOWN + 1; ct_no_site_name(i); i++) {
		snprintf(word, sizeof(word), "`%s`", ct_no_site_name(i));
		if (!strstr(doc, word))
			fail_msg("reason %s is not documented", word);
	}
	for (int i = 0; ct_access_name(i); i++) {
		snprintf(word, sizeof(word), "`%s`", ct_access_name(i));
		if (!strstr(doc, word))
			fail_msg("access %s is not documented", word);
	}
	snprintf(word, sizeof(word), "0x%x", CT_SCHEMA_APPLICATION_ID);
	assert_non_null(strstr(doc, word));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
