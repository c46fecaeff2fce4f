/* SPDX-License-Identifier: MIT */
/*
 * The report on a trace whose every number is known, through the public header
 * alone: sums, groups, filters, what is unknown, the identity of reconciliation.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include <cowtrace/report.h>

#include "scenario.h"

static char dir[] = "/tmp/ct-report-XXXXXX";
static char path[64];

static int setup(void **state)
{
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/t.cowtrace", dir);
	scenario_write(path);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static struct cowtrace_report *open_with(struct cowtrace_report_options o)
{
	char why[COWTRACE_REPORT_WHY_LEN];
	struct cowtrace_report *r;

	o.sz = sizeof(o);
	if (cowtrace_report_open(path, &o, &r, why))
		fail_msg("%s", why);
	return r;
}

static struct cowtrace_report *open_all(void)
{
	return open_with((struct cowtrace_report_options){ 0 });
}

static void test_recording(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_recording *rec = cowtrace_report_recording(r);

	assert_int_equal(rec->nr_args, 3);
	assert_string_equal(rec->command[1], "--flag");
	assert_string_equal(rec->command[2], "");
	assert_null(rec->command[3]);
	assert_string_equal(rec->engine, "census");
	assert_string_equal(rec->host, "");
	assert_true(rec->complete && rec->page_frames);
	assert_int_equal(rec->end_ns, 6 * CT_NSEC_PER_SEC);
	cowtrace_report_close(r);
}

static void test_processes(void **state)
{
	static const uint32_t depths[] = { 0, 1, 1, 2, 2, 1 };
	struct cowtrace_report *r = open_all();

	assert_int_equal(cowtrace_report_nr_processes(r), 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(cowtrace_report_process(r, i)->depth, depths[i]);
	assert_null(cowtrace_report_process(r, 6));
	assert_string_equal(cowtrace_report_process(r, 3)->ended, "exec");
	assert_int_equal(cowtrace_report_process(r, 0)->end_ns, COWTRACE_UNKNOWN);
	assert_int_equal(cowtrace_report_process(r, 2)->wstatus, 9);
	cowtrace_report_close(r);
}

static void test_forks(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_fork *f;

	assert_int_equal(cowtrace_report_nr_forks(r), 4);
	f = cowtrace_report_fork(r, 0);
	assert_int_equal(f->parent_pid, 100);
	assert_int_equal(f->child_pid, 101);
	/* Not libc's fork(), nor the leaf: who called it. */
	assert_string_equal(f->site_text, "app+0x100");
	assert_string_equal(f->phase, "serve");
	assert_int_equal(f->parent_side.copied, 300);
	assert_int_equal(f->child_side.fresh, 33);
	assert_string_equal(f->parent_side.ended, "next_fork");
	f = cowtrace_report_fork(r, 1);
	assert_int_equal(f->child_side.copied, COWTRACE_UNKNOWN);
	assert_string_equal(f->child_side.ended, "killed");
	assert_int_equal(f->copied_max, COWTRACE_UNKNOWN);
	f = cowtrace_report_fork(r, 2);
	assert_int_equal(f->depth, 1);
	f = cowtrace_report_fork(r, 3);
	assert_int_equal(f->id, 5);
	assert_int_equal(f->end_ns, COWTRACE_UNKNOWN);
	assert_string_equal(f->child_side.ended, "open");
	assert_int_equal(f->child_side.copied, COWTRACE_UNKNOWN);
	cowtrace_report_close(r);
}

static void test_groups(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_group *g;

	/* By 100 from one caller, by 100 from another, by 101 (deeper). */
	assert_int_equal(cowtrace_report_nr_groups(r), 3);
	g = cowtrace_report_group(r, 0);
	assert_int_equal(g->nr_forks, 2);
	assert_string_equal(g->lineage, "server");
	assert_string_equal(g->caller, "app+0x200");
	assert_int_equal(g->parent_copied, 311);
	assert_int_equal(g->child_copied, 70);
	assert_int_equal(g->nr_unread, 1);
	assert_int_equal(g->fork_ns_sum, 3 * CT_NSEC_PER_MSEC);
	assert_int_equal(g->max_fork, 1);
	assert_int_equal(g->max_copied, 370);
	g = cowtrace_report_group(r, 1);
	assert_string_equal(g->caller, "app+0x300");
	assert_int_equal(g->child_copied, COWTRACE_UNKNOWN);
	g = cowtrace_report_group(r, 2);
	assert_string_equal(g->lineage, "server > server");
	assert_int_equal(g->depth, 1);
	g = cowtrace_report_total(r);
	assert_int_equal(g->nr_forks, 4);
	assert_int_equal(g->pages_shared, 6200);
	assert_int_equal(g->parent_copied, 418);
	/* A bound that one fork lacks is lacking in the sum. */
	assert_int_equal(g->copied_min, 370 + 11 + 10);
	assert_int_equal(g->copied_max, COWTRACE_UNKNOWN);
	assert_int_equal(cowtrace_report_group(r, 2)->copied_max, 10);
	cowtrace_report_close(r);
}

static void test_regions(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_region *g;

	/* Ours is not among them. */
	assert_int_equal(cowtrace_report_nr_regions(r), 4);
	g = cowtrace_report_region(r, 0);
	assert_int_equal(g->shared, 1990 + 1890);
	assert_int_equal(g->copied, 301);
	assert_string_equal(g->thp, "hugepage");
	/* The allocator mapped it for the frame above. */
	assert_string_equal(g->site_text, "0x7f1234567890");
	g = cowtrace_report_region(r, 1);
	assert_int_equal(g->shared, 1990 + 800);
	assert_int_equal(g->copied, 80);
	g = cowtrace_report_region(r, 3);
	assert_int_equal(g->shared, 10);
	assert_int_equal(g->copied, COWTRACE_UNKNOWN);
	assert_int_equal(cowtrace_report_nr_fork_regions(r), 7);
	cowtrace_report_close(r);
}

static void test_region_groups(void **state)
{
	struct cowtrace_report *r = open_with((struct cowtrace_report_options){ .top = 1 });
	const struct cowtrace_region_group *g = cowtrace_report_region_group(r, 0);

	/* The dict of the parent and of its child; top leaves them whole. */
	assert_int_equal(cowtrace_report_nr_region_groups(r), 3);
	assert_string_equal(g->name, "dict");
	assert_int_equal(g->nr_regions, 2);
	assert_int_equal(g->nr_processes, 2);
	assert_int_equal(g->copied, 301 + 80);
	assert_int_equal(g->len, 2 * 0x800000);
	assert_int_equal(cowtrace_report_region_group(r, 2)->copied, COWTRACE_UNKNOWN);
	cowtrace_report_close(r);
}

static void test_buckets(void **state)
{
	struct cowtrace_report *r = open_all();

	assert_int_equal(cowtrace_report_nr_buckets(r), 3);
	assert_int_equal(cowtrace_report_bucket(r, 0)->copied, 150);
	assert_int_equal(cowtrace_report_bucket(r, 0)->t_ns, CT_NSEC_PER_SEC);
	assert_string_equal(cowtrace_report_bucket(r, 1)->side, "child");
	assert_int_equal(cowtrace_report_bucket(r, 2)->fork, 2);
	cowtrace_report_close(r);
}

static void test_reconcile(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_reconcile *c;

	assert_int_equal(cowtrace_report_nr_reconcile(r), 9);
	for (size_t i = 0; i < 9; i++) {
		u64 sum;

		c = cowtrace_report_reconcile(r, i);
		sum = c->attributed;
		for (size_t n = 0; n < c->nr_reasons && c->copied != COWTRACE_UNKNOWN; n++)
			sum += c->unattributed[n].pages;
		if (c->copied != COWTRACE_UNKNOWN)
			assert_int_equal(sum, c->copied);
	}
	c = cowtrace_report_reconcile(r, 1);
	assert_int_equal(c->pid, 101);
	assert_int_equal(c->private_dirty_len, 103 * 4096);
	assert_int_equal(c->census_private_len, 103 * 4096);
	assert_string_equal(c->unattributed[0].reason, "no_engine");
	assert_true(c->coverage == 0);
	c = cowtrace_report_reconcile(r, 3);
	assert_int_equal(c->pid, 102);
	assert_string_equal(c->unattributed[0].reason, "killed");
	assert_int_equal(c->unattributed[0].pages, COWTRACE_UNKNOWN);
	assert_true(c->coverage == -1);
	c = cowtrace_report_reconcile(r, 7);
	assert_string_equal(c->unattributed[0].reason, "not_read");
	c = cowtrace_report_reconcile(r, 8);
	assert_int_equal(c->fork, 0);
	assert_int_equal(c->pid, 100);
	assert_true(c->coverage == 1);
	cowtrace_report_close(r);
}

static void test_filters(void **state)
{
	struct cowtrace_report *r = open_with((struct cowtrace_report_options){ .fork = 3 });

	assert_int_equal(cowtrace_report_nr_forks(r), 1);
	assert_int_equal(cowtrace_report_nr_processes(r), 2);
	assert_int_equal(cowtrace_report_nr_regions(r), 1);
	assert_int_equal(cowtrace_report_region(r, 0)->copied, 10);
	assert_int_equal(cowtrace_report_nr_buckets(r), 0);
	assert_int_equal(cowtrace_report_nr_reconcile(r), 2);
	cowtrace_report_close(r);

	/* As a child once, as a parent once. */
	r = open_with((struct cowtrace_report_options){ .process = 101 });
	assert_int_equal(cowtrace_report_nr_forks(r), 2);
	assert_int_equal(cowtrace_report_nr_regions(r), 1);
	assert_int_equal(cowtrace_report_region(r, 0)->copied, 80);
	assert_int_equal(cowtrace_report_nr_reconcile(r), 2);
	cowtrace_report_close(r);

	/* Fork 1 is over at 4 s, fork 2 at 2.5 s, fork 3 at 4 s; 5 begins at 5 s. */
	r = open_with((struct cowtrace_report_options){ .since_ns = 4500 * CT_NSEC_PER_MSEC });
	assert_int_equal(cowtrace_report_nr_forks(r), 1);
	assert_int_equal(cowtrace_report_fork(r, 0)->id, 5);
	cowtrace_report_close(r);
	r = open_with((struct cowtrace_report_options){ .until_ns = 2 * CT_NSEC_PER_SEC });
	assert_int_equal(cowtrace_report_nr_forks(r), 1);
	assert_int_equal(cowtrace_report_nr_buckets(r), 2);
	cowtrace_report_close(r);

	r = open_with((struct cowtrace_report_options){ .top = 2 });
	assert_int_equal(cowtrace_report_nr_forks(r), 2);
	assert_int_equal(cowtrace_report_fork(r, 0)->id, 1);
	assert_int_equal(cowtrace_report_fork(r, 1)->id, 5);
	assert_int_equal(cowtrace_report_total(r)->nr_forks, 4);
	assert_int_equal(cowtrace_report_nr_regions(r), 2);
	assert_int_equal(cowtrace_report_all_regions(r), 4);
	cowtrace_report_close(r);
}

static void test_refusals(void **state)
{
	struct cowtrace_report_options o = { .sz = sizeof(o), .fork = 4 };
	struct cowtrace_report *r = NULL;
	char why[COWTRACE_REPORT_WHY_LEN];

	assert_int_equal(cowtrace_report_open(path, &o, &r, why), -ESRCH);
	assert_non_null(strstr(why, "has no fork 4"));
	o = (struct cowtrace_report_options){ .sz = sizeof(o), .process = 105 };
	assert_int_equal(cowtrace_report_open(path, &o, &r, why), -ESRCH);
	o.sz = 3;
	assert_int_equal(cowtrace_report_open(path, &o, &r, NULL), -EINVAL);
	assert_int_equal(cowtrace_report_open("/none", NULL, &r, why), -ENOENT);
	assert_null(r);
	cowtrace_report_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recording), cmocka_unit_test(test_processes),
		cmocka_unit_test(test_forks),	  cmocka_unit_test(test_groups),
		cmocka_unit_test(test_regions),	  cmocka_unit_test(test_region_groups),
		cmocka_unit_test(test_buckets),	  cmocka_unit_test(test_reconcile),
		cmocka_unit_test(test_filters),	  cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
