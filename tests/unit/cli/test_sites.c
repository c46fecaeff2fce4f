/* SPDX-License-Identifier: MIT */
/*
 * Call sites that look alike become one row, and a row may have lines below it:
 * on a trace of three stacks to one function, two of which differ only far up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <cowtrace/policy.h>

#include "site_groups.h"
#include "store/store.h"
#include "table.h"

#define DEPTH 9

static void put(struct ct_store *s, struct ct_rec rec)
{
	if (ct_store_put(s, &rec))
		fail_msg("put: %s", ct_store_error(s));
}

/* Site id: frames 0x1000, 0x1010, ... but for one of them. */
static void put_site(struct ct_store *s, u32 id, u32 other_at)
{
	struct ct_rec_frame f[DEPTH];

	for (u32 i = 0; i < DEPTH; i++)
		f[i] = (struct ct_rec_frame){ 1, 0x1000 + 16 * i + (i == other_at ? 8 : 0) };
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { id, DEPTH, f } });
}

static void put_writes(struct ct_store *s, u32 site, enum ct_side side, u64 page, int n,
		       enum cowtrace_action observed)
{
	for (; n--; page++)
		put(s, (struct ct_rec){ CT_REC_WRITE, .write = { .process = 1,
								 .fork = 1,
								 .side = side,
								 .page = page,
								 .pages = 1,
								 .site = site,
								 .syscall = -1,
								 .predicted = observed,
								 .observed = observed } });
}

static void write_trace(const char *path)
{
	struct ct_store *s;
	struct ct_err err;

	if (ct_store_create(path, &s, &err))
		fail_msg("%s", err.text);
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "engine", "uffd" } });
	put(s, (struct ct_rec){ CT_REC_PROCESS, .process = { 1, 0, 100, 1, "x", "/none/x" } });
	put(s, (struct ct_rec){ CT_REC_MODULE, .module = { 1, "/none/x", { 0 }, 0 } });
	put(s, (struct ct_rec){ CT_REC_FORK, .fork = { .id = 1, .parent = 1, .how = "fork" } });
	for (u32 id = 1; id <= 2; id++) {
		u64 start = id * 0x100000;

		put(s, (struct ct_rec){ CT_REC_REGION,
					.region = { id, 1, start, start + 0x10000,
						    id == 1 ? CT_KIND_HEAP : CT_KIND_ANON, "" } });
		put(s, (struct ct_rec){ CT_REC_REGION_COUNT,
					.region_count = { 1, id, CT_SIDE_PARENT, 16 } });
	}
	put_site(s, 1, DEPTH);	   /* nothing other */
	put_site(s, 2, DEPTH - 1); /* beyond what is shown */
	put_site(s, 3, 2);	   /* another caller */
	put_writes(s, 1, CT_SIDE_PARENT, 0x100, 2, COWTRACE_COPY);
	put_writes(s, 2, CT_SIDE_PARENT, 0x200, 3, COWTRACE_COPY);
	put_writes(s, 2, CT_SIDE_PARENT, 0x208, 1, COWTRACE_REUSE);
	put_writes(s, 3, CT_SIDE_PARENT, 0x100, 4, COWTRACE_COPY);
	put_writes(s, 1, CT_SIDE_CHILD, 0x100, 7, COWTRACE_REUSE);
	if (ct_store_finish(s, NULL, &err))
		fail_msg("%s", err.text);
}

static struct cowtrace_report *open_report(void)
{
	struct cowtrace_report_options o = { .sz = sizeof(o), .no_symbols = true };
	char path[] = "/tmp/ct-sites-XXXXXX", why[COWTRACE_REPORT_WHY_LEN];
	struct cowtrace_report *r;

	close(mkstemp(path));
	write_trace(path);
	if (cowtrace_report_open(path, &o, &r, why))
		fail_msg("%s", why);
	unlink(path);
	return r;
}

static void test_groups(void **state)
{
	struct cowtrace_report *r = open_report();
	struct ct_site_groups g;

	assert_int_equal(cowtrace_report_nr_write_sites(r), 4);
	assert_int_equal(ct_site_groups_make(r, COWTRACE_SORT_COPIES, &g), 0);
	assert_int_equal(g.nr, 3);
	/* 2 + 3 copies of two stacks that look alike, in two kinds of memory. */
	assert_int_equal(g.v[0].nr_sites, 2);
	assert_int_equal(g.v[0].copies, 5);
	assert_int_equal(g.v[0].reuses, 1);
	assert_int_equal(g.v[0].first_writes, 6);
	assert_int_equal(g.v[0].stall_ns, COWTRACE_UNKNOWN);
	assert_string_equal(g.v[0].callers, "< x+0x1010 < x+0x1020 < x+0x1030 < x+0x1040 < x+0x1050"
					    " < ...");
	assert_int_equal(g.v[0].nr_memories, 2);
	assert_string_equal(g.v[0].memories[0].kind, "anon");
	assert_int_equal(g.v[0].memories[0].first_writes, 4);
	assert_int_equal(g.v[0].memories[1].first_writes, 2);
	assert_int_equal(g.v[0].steps[0], 6);
	assert_int_equal(g.v[1].copies, 4);
	assert_int_equal(g.v[1].nr_sites, 1);
	assert_string_equal(g.v[2].site->side, "child");
	ct_site_groups_fini(&g);
	assert_int_equal(ct_site_groups_make(r, COWTRACE_SORT_REUSES, &g), 0);
	assert_int_equal(g.v[0].reuses, 7);
	ct_site_groups_fini(&g);
	cowtrace_report_close(r);
}

static void test_long_names(void **state)
{
	struct ct_line l = { .len = 0 };
	char name[2000];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	ct_line_add_name(&l, "< ", name);
	assert_int_equal(l.len, 2 + 40);
	assert_string_equal(l.text + l.len - 4, "n...");
	for (int i = 0; i < 100; i++)
		ct_line_add_name(&l, " < ", name);
	assert_int_equal(l.len, sizeof(l.text) - 1);
	assert_int_equal(strlen(l.text), l.len);
}

static void test_notes_below_rows(void **state)
{
	static const char *const heads[] = { ">n", "<name", NULL };
	struct ct_term term = { .width = 30 };
	struct ct_table tab;
	char *text = NULL;
	size_t len;

	term.out = open_memstream(&text, &len);
	ct_table_init(&tab, heads);
	for (int i = 1; i <= 3; i++) {
		ct_table_cell(&tab, "%d", i);
		ct_table_cell(&tab, "row");
		if (i == 2) {
			ct_table_note(&tab, "first");
			ct_table_note(&tab, "a second one that is too long for it");
		}
	}
	ct_table_print(&tab, &term);
	fclose(term.out);
	assert_string_equal(text, "  n  name\n  1  row\n  2  row\n        first\n"
				  "        a second one that i...\n  3  row\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_notes_below_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
