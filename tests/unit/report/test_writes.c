/* SPDX-License-Identifier: MIT */
/*
 * The report on first writes whose every number is known (scenario_writes.c):
 * sums by site, side and system call, their memory, time, price, and verdicts.
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
#include <sqlite3.h>

#include <cowtrace/policy.h>
#include <cowtrace/report.h>
#include <cowtrace/trace.h> /* all headers go together */

#include "scenario.h"

static char dir[] = "/tmp/ct-writes-XXXXXX";
static char path[64];

static int setup(void **state)
{
	scenario_write_watched(path);
	return 0;
}

static int make_dir(void **state)
{
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/t.cowtrace", dir);
	return 0;
}

static int remove_dir(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void sql(const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
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

static const struct cowtrace_write_site *site(const struct cowtrace_report *r, u32 id,
					      const char *side, const char *syscall)
{
	const struct cowtrace_write_site *found = NULL;

	for (size_t i = 0; i < cowtrace_report_nr_write_sites(r); i++) {
		const struct cowtrace_write_site *s = cowtrace_report_write_site(r, i);

		if (s->site != id || strcmp(s->side, side) || strcmp(s->syscall, syscall))
			continue;
		assert_null(found);
		found = s;
	}
	if (!found)
		fail_msg("no site %u of %s", id, side);
	return found;
}

static void check_counts(const struct cowtrace_write_site *s, u64 copies, u64 reuses, u64 zeroed,
			 u64 unknown, u64 stall_ns)
{
	assert_int_equal(s->copies, copies);
	assert_int_equal(s->reuses, reuses);
	assert_int_equal(s->zero_filled, zeroed);
	assert_int_equal(s->unknown, unknown);
	assert_int_equal(s->first_writes, copies + reuses + zeroed + unknown);
	assert_int_equal(s->copied_len, copies * 4096);
	assert_int_equal(s->stall_ns, stall_ns);
}

static void test_sites(void **state)
{
	struct cowtrace_report *r = open_all();

	assert_int_equal(cowtrace_report_nr_write_sites(r), 7);
	/* 3 + 11 copies; 512 reused by one fault, 9 of no fork. */
	check_counts(site(r, 10, "parent", ""), 14, 521, 0, 0, 14 * 2000 + 10 * 700);
	check_counts(site(r, 10, "child", ""), 2, 0, 0, 0, 2 * 2000);
	check_counts(site(r, 11, "parent", "read"), 4, 1, 0, 1, 4 * 2000 + 700);
	check_counts(site(r, 11, "parent", ""), 6, 0, 0, 0, 6 * 2000);
	check_counts(site(r, 12, "parent", ""), 0, 0, 8, 0, 0);
	check_counts(site(r, 13, "parent", ""), 7, 0, 0, 0, 7 * 13000);
	check_counts(site(r, 14, "parent", ""), 0, 0, 10, 0, 0);
	cowtrace_report_close(r);
}

static void test_ids(void **state)
{
	struct cowtrace_report *r = open_all();

	for (size_t i = 0; i < cowtrace_report_nr_write_sites(r); i++) {
		const struct cowtrace_write_site *s = cowtrace_report_write_site(r, i);

		assert_null(cowtrace_report_site_of(r, s->id));
		assert_non_null(cowtrace_report_site_of(r, s->site));
		for (size_t n = 0; n < i; n++)
			assert_int_not_equal(cowtrace_report_write_site(r, n)->id, s->id);
	}
	cowtrace_report_close(r);
}

static void test_forks_and_frames(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_write_site *s = site(r, 10, "parent", "");

	assert_int_equal(s->nr_forks, 3);
	assert_int_equal(s->forks[0], 0);
	assert_int_equal(s->forks[1], 1);
	assert_int_equal(s->forks[2], 2);
	assert_int_equal(s->nr_frames, 2);
	assert_string_equal(s->text, "app+0x501");
	assert_int_equal(s->deciding, 0);

	s = site(r, 11, "parent", "read");
	assert_int_equal(s->nr_forks, 1);
	assert_int_equal(s->nr_frames, 4);
	assert_string_equal(s->frames[0].function, "read(2)");
	assert_string_equal(s->frames[1].function, "libc.so.6+0x70");
	/* libc only passes on. */
	assert_string_equal(s->text, "read(2) by app+0x700");
	assert_int_equal(s->deciding, 2);
	assert_int_equal(site(r, 11, "parent", "")->deciding, 1);

	/* cowtrace's own frames are nobody's business. */
	s = site(r, 12, "parent", "");
	assert_int_equal(s->nr_frames, 1);
	assert_string_equal(s->text, "app+0x900");
	s = site(r, 14, "parent", "");
	assert_int_equal(s->nr_frames, 1);
	assert_string_equal(s->text, "[cowtrace]");
	cowtrace_report_close(r);
}

static void test_totals(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_writes *w = cowtrace_report_writes(r);

	assert_true(w->watched);
	assert_int_equal(w->faults, 68);
	assert_int_equal(w->copies, 33);
	assert_int_equal(w->reuses, 522);
	assert_int_equal(w->zero_filled, 18);
	assert_int_equal(w->unknown, 6);
	assert_int_equal(w->first_writes, 33 + 522 + 18 + 6);
	assert_int_equal(w->fault_copy_ns, 2000);
	assert_int_equal(w->stall_ns, 26 * 2000 + 7 * 13000 + 11 * 700);
	assert_int_equal(w->nr_reasons, 2);
	assert_string_equal(w->without_stack[0].reason, "blocked_signal");
	assert_int_equal(w->without_stack[0].pages, 7);
	assert_string_equal(w->without_stack[1].reason, "no_stack");
	assert_int_equal(w->without_stack[1].pages, 5);
	cowtrace_report_close(r);
}

static void test_time(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_writes *w = cowtrace_report_writes(r);

	/* From the first fork at 1 s to the last write at 2.4 s. */
	assert_int_equal(w->steps_ns, CT_NSEC_PER_SEC);
	assert_int_equal(w->step_ns, 32 * CT_NSEC_PER_MSEC);
	for (size_t i = 0; i < cowtrace_report_nr_write_sites(r); i++) {
		const struct cowtrace_write_site *s = cowtrace_report_write_site(r, i);
		u64 sum = 0;

		for (u32 n = 0; n < w->nr_steps; n++)
			sum += s->steps[n];
		assert_int_equal(sum, s->first_writes);
	}
	/* 3, 9 and 11 writes from 1.2 s on, 10 ms apart; the huge page at 2.4 s. */
	assert_int_equal(site(r, 10, "parent", "")->steps[5], 0);
	assert_int_equal(site(r, 10, "parent", "")->steps[6], 3 + 3 + 3);
	assert_int_equal(site(r, 10, "parent", "")->steps[7], 3 + 3);
	assert_int_equal(site(r, 10, "parent", "")->steps[8], 3 + 3);
	assert_int_equal(site(r, 10, "parent", "")->steps[9], 2);
	assert_int_equal(site(r, 10, "parent", "")->steps[43], 512);
	cowtrace_report_close(r);
}

static void test_regions(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_write_site *s = site(r, 10, "parent", "");
	u64 sums[2] = { 0 };
	int rows = 0;

	for (size_t i = 0; i < cowtrace_report_nr_site_regions(r); i++) {
		const struct cowtrace_site_region *g = cowtrace_report_site_region(r, i);

		sums[0] += g->first_writes;
		if (g->write_site != s->id)
			continue;
		rows++;
		sums[1] += g->first_writes;
		if (!strcmp(g->kind, "heap")) {
			assert_string_equal(g->name, "dict");
			assert_int_equal(g->first_writes, 3 + 512);
			assert_int_equal(g->copies, 3);
			assert_int_equal(g->reuses, 512);
		} else if (!strcmp(g->kind, "stack")) {
			assert_int_equal(g->first_writes, 2);
		} else {
			/* Of no fork, and where no region is. */
			assert_string_equal(g->kind, "");
			assert_int_equal(g->first_writes, 9 + 9);
		}
	}
	assert_int_equal(rows, 3);
	assert_int_equal(sums[1], s->first_writes);
	/* All but those without a site. */
	assert_int_equal(sums[0], cowtrace_report_writes(r)->first_writes - 5);
	cowtrace_report_close(r);
}

static const struct cowtrace_thp_loss *loss(const struct cowtrace_report *r, const char *cause)
{
	for (size_t i = 0; i < cowtrace_report_nr_thp_losses(r); i++)
		if (!strcmp(cowtrace_report_thp_loss(r, i)->cause, cause))
			return cowtrace_report_thp_loss(r, i);
	return NULL;
}

static void test_huge_pages_lost(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_thp_loss *l = cowtrace_report_thp_loss(r, 0);

	/* Most bytes first. */
	assert_int_equal(cowtrace_report_nr_thp_losses(r), 3);
	assert_string_equal(l->cause, "write_after_fork");
	assert_int_equal(l->events, 7);
	assert_int_equal(l->len, 7UL << 21);
	assert_int_equal(l->site, 13);
	assert_int_equal(l->pid, 100);
	assert_int_equal(l->region, 1);
	assert_string_equal(l->kind, "heap");
	assert_int_equal(l->copies, 7);
	assert_int_equal(l->reuses, 0);
	assert_int_equal(l->reusable, 0);
	assert_true(l->regained_len == COWTRACE_UNKNOWN);
	l = cowtrace_report_thp_loss(r, 1);
	assert_string_equal(l->cause, "madvise_dontneed");
	assert_int_equal(l->events, 4);
	assert_int_equal(l->len, 4UL << 21);
	assert_int_equal(l->site, 11);
	assert_true(*l->text && cowtrace_report_site_of(r, 11)->of_call);
	assert_int_equal(l->region, 1);
	assert_true(l->copies == COWTRACE_UNKNOWN && l->reusable == COWTRACE_UNKNOWN);
	l = cowtrace_report_thp_loss(r, 2);
	assert_string_equal(l->cause, "munmap");
	assert_int_equal(l->pid, 101);
	assert_int_equal(l->events, 1);
	assert_int_equal(l->site, 0);
	assert_string_equal(l->text, "");
	assert_int_equal(l->region, 0);
	assert_null(cowtrace_report_thp_loss(r, 3));
	cowtrace_report_close(r);
}

static void test_huge_pages_lost_of_some(void **state)
{
	struct cowtrace_report *r = open_with((struct cowtrace_report_options){ .fork = 1 });

	/* Calls are of no fork. */
	assert_int_equal(cowtrace_report_nr_thp_losses(r), 1);
	cowtrace_report_close(r);
	r = open_with((struct cowtrace_report_options){ .process = 101 });
	assert_int_equal(cowtrace_report_nr_thp_losses(r), 2);
	assert_non_null(loss(r, "munmap"));
	cowtrace_report_close(r);
	r = open_with((struct cowtrace_report_options){ .since_ns = 2000000000 });
	assert_int_equal(cowtrace_report_nr_thp_losses(r), 1);
	assert_int_equal(loss(r, "madvise_dontneed")->events, 2);
	cowtrace_report_close(r);
}

/* What was written in a lost unit before and after; and a split that was our own. */
static void test_huge_pages_what_followed(void **state)
{
	const struct cowtrace_thp_loss *l;
	struct cowtrace_report *r;

	sql("INSERT INTO write_kinds VALUES"
	    "(90,'parent','user',NULL,0,'reuse','x',NULL,NULL,'copy'),"
	    "(91,'parent','user',NULL,0,'uncertain','x','refcount','reuse','copy'),"
	    "(92,'parent','user',NULL,0,'copy','x',NULL,NULL,'reuse'),"
	    "(93,'child','user',NULL,1,'uncertain','x','refcount','copy','reuse');"
	    "INSERT INTO writes VALUES"
	    "(1,1,5,0x10420,1,10,90,NULL,NULL),(1,1,6,0x10421,1,10,91,NULL,NULL),"
	    "(1,1,7,0x10422,1,10,92,NULL,NULL),"
	    /* Another unit, another fork, another process. */
	    "(1,1,8,0x10600,1,10,90,NULL,NULL),(1,2,8,0x10423,1,10,90,NULL,NULL),"
	    "(2,1,8,0x10424,1,10,90,NULL,NULL),"
	    "(2,1,9,0x10680,1,10,93,NULL,NULL)");
	r = open_all();
	l = loss(r, "write_after_fork");
	assert_int_equal(l->events, 7);
	assert_int_equal(l->copies, 9);
	assert_int_equal(l->reuses, 1);
	assert_int_equal(l->reusable, 2);
	l = loss(r, "cowtrace");
	assert_non_null(l);
	assert_int_equal(l->events, 1);
	assert_int_equal(l->pid, 101);
	assert_int_equal(l->reuses, 1);
	cowtrace_report_close(r);
}

/* What was found to be gone, and what of it nothing explains. */
static void test_huge_pages_gone(void **state)
{
	const struct cowtrace_thp_loss *l;
	struct cowtrace_report *r;

	sql("INSERT INTO thp_losses VALUES"
	    /* Written in fork 1; not in fork 2. */
	    "(1,1,1900000000,'unknown',0x10400000,2097152,0),"
	    "(1,2,2900000000,'unknown',0x10400000,2097152,0),"
	    /* The second unit of a call's two; the call came before that fork. */
	    "(1,1,1900000000,'unknown',0x10200000,2097152,0),"
	    "(2,3,1900000000,'unknown',0x7000000000,2097152,0),"
	    /* Nobody knows. */
	    "(2,1,1900000000,'unknown',0x10400000,2097152,0)");
	r = open_all();
	assert_int_equal(cowtrace_report_nr_thp_losses(r), 6);
	l = loss(r, "unknown");
	assert_int_equal(l->events, 1);
	assert_true(l->copies == COWTRACE_UNKNOWN);
	assert_int_equal(l->site, 0);
	cowtrace_report_close(r);
	r = open_with((struct cowtrace_report_options){ .fork = 2 });
	assert_int_equal(cowtrace_report_nr_thp_losses(r), 1);
	assert_int_equal(loss(r, "unknown")->pid, 100);
	cowtrace_report_close(r);
}

/* A trace of before has no such table. */
static void test_huge_pages_old_trace(void **state)
{
	struct cowtrace_report *r;

	sql("DROP TABLE thp_losses");
	r = open_all();
	assert_int_equal(cowtrace_report_nr_thp_losses(r), 1);
	cowtrace_report_close(r);
}

static void test_huge_pages_damaged(void **state)
{
	char why[COWTRACE_REPORT_WHY_LEN];
	struct cowtrace_report *r;

	sql("UPDATE thp_losses SET len=4096 WHERE cause='munmap'");
	assert_int_equal(cowtrace_report_open(path, NULL, &r, why), -EBADMSG);
	assert_non_null(strstr(why, "thp_losses"));
}

static void test_agreement(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_agreement *a = cowtrace_report_agreement(r);
	const struct cowtrace_disagreement *d = &a->disagreements[0];

	/* All but six uncertain ones and five of which nobody knows. */
	assert_int_equal(a->predicted_total, 68 - 6 - 5);
	assert_int_equal(a->predicted_equal, 68 - 6 - 5 - 2);
	assert_int_equal(a->unobserved, 5);
	assert_int_equal(a->uncertain, 6);
	assert_int_equal(a->nr_undecided, 1);
	assert_string_equal(a->undecided[0].decides, "refcount");
	assert_int_equal(a->undecided[0].writes, 6);
	assert_int_equal(a->undecided[0].likely_total, 5);
	assert_int_equal(a->undecided[0].likely_equal, 4);
	assert_int_equal(a->nr_disagreements, 2);
	assert_int_equal(a->nr_listed, 2);
	assert_int_equal(d->pid, 101);
	assert_int_equal(d->fork, 1);
	assert_int_equal(d->page, 0x10000);
	assert_int_equal(d->site, 10);
	assert_string_equal(d->side, "child");
	assert_string_equal(d->predicted, "reuse");
	assert_string_equal(d->observed, "copy");
	assert_string_equal(d->reason, "refcount_one");
	cowtrace_report_close(r);
}

static const struct cowtrace_reconcile *side(const struct cowtrace_report *r, u32 fork,
					     const char *name)
{
	for (size_t i = 0; i < cowtrace_report_nr_reconcile(r); i++) {
		const struct cowtrace_reconcile *c = cowtrace_report_reconcile(r, i);

		if (c->fork == fork && !strcmp(c->side, name))
			return c;
	}
	fail_msg("no %s of fork %u", name, fork);
	return NULL;
}

static u64 reason(const struct cowtrace_reconcile *c, const char *name)
{
	for (size_t i = 0; i < c->nr_reasons; i++)
		if (!strcmp(c->unattributed[i].reason, name))
			return c->unattributed[i].pages;
	return 0;
}

static void test_attribution(void **state)
{
	struct cowtrace_report *r = open_all();
	const struct cowtrace_reconcile *c = side(r, 1, "parent");

	assert_int_equal(c->copied, 300);
	assert_int_equal(c->attributed, 280);
	assert_int_equal(c->nr_reasons, 2);
	assert_int_equal(reason(c, "file_private"), 15);
	assert_int_equal(reason(c, "fork_window"), 5);
	c = side(r, 1, "child");
	assert_int_equal(reason(c, "no_stack"), 6);
	assert_int_equal(reason(c, "unexplained"), 4);
	assert_int_equal(side(r, 2, "parent")->nr_reasons, 0);
	/* What the recorder claims too much is not hidden. */
	c = side(r, 3, "parent");
	assert_int_equal(c->copied, 7);
	assert_int_equal(c->attributed + reason(c, "killed"), 9);
	/* An engine was at work: nothing is no_engine. */
	assert_int_equal(reason(side(r, 5, "parent"), "unexplained"), 100);
	cowtrace_report_close(r);
}

static void test_filters(void **state)
{
	struct cowtrace_report *r = open_with((struct cowtrace_report_options){ .fork = 2 });

	assert_int_equal(cowtrace_report_writes(r)->first_writes, 512);
	assert_int_equal(cowtrace_report_nr_write_sites(r), 1);
	assert_int_equal(cowtrace_report_agreement(r)->predicted_total, 1);
	cowtrace_report_close(r);
	/* 101 took part in forks 1 and 3; what is of no fork is nobody's. */
	r = open_with((struct cowtrace_report_options){ .process = 101 });
	assert_int_equal(cowtrace_report_writes(r)->first_writes, 33 + 1 + 18 + 6);
	cowtrace_report_close(r);
	r = open_with((struct cowtrace_report_options){ .since_ns = 2300 * CT_NSEC_PER_MSEC });
	assert_int_equal(cowtrace_report_writes(r)->first_writes, 512);
	cowtrace_report_close(r);
	r = open_with((struct cowtrace_report_options){ .until_ns = 1205 * CT_NSEC_PER_MSEC });
	/* The first of each run of writes. */
	assert_int_equal(cowtrace_report_writes(r)->faults, 12);
	cowtrace_report_close(r);
}

static void test_order(void **state)
{
	static const u32 first[] = { [COWTRACE_SORT_COPIES] = 10,
				     [COWTRACE_SORT_BYTES] = 10,
				     [COWTRACE_SORT_REUSES] = 10,
				     [COWTRACE_SORT_STALL] = 13 };
	static const u32 second[] = { [COWTRACE_SORT_COPIES] = 13,
				      [COWTRACE_SORT_BYTES] = 13,
				      [COWTRACE_SORT_REUSES] = 11,
				      [COWTRACE_SORT_STALL] = 10 };
	struct cowtrace_report *r;

	for (int sort = 0; sort <= COWTRACE_SORT_STALL; sort++) {
		r = open_with((struct cowtrace_report_options){ .sort = sort });
		assert_int_equal(cowtrace_report_write_site(r, 0)->site, first[sort]);
		assert_int_equal(cowtrace_report_write_site(r, 1)->site, second[sort]);
		cowtrace_report_close(r);
	}
	r = open_with((struct cowtrace_report_options){ .sides = COWTRACE_SIDES_CHILD });
	assert_int_equal(cowtrace_report_nr_write_sites(r), 1);
	assert_string_equal(cowtrace_report_write_site(r, 0)->side, "child");
	for (size_t i = 0; i < cowtrace_report_nr_site_regions(r); i++)
		assert_int_equal(cowtrace_report_site_region(r, i)->write_site,
				 cowtrace_report_write_site(r, 0)->id);
	/* Totals are whole. */
	assert_int_equal(cowtrace_report_writes(r)->copies, 33);
	cowtrace_report_close(r);
	r = open_with((struct cowtrace_report_options){ .sides = COWTRACE_SIDES_PARENT });
	assert_int_equal(cowtrace_report_nr_write_sites(r), 6);
	cowtrace_report_close(r);
}

/* A program that was built with the first version of the options. */
static void test_old_options(void **state)
{
	struct cowtrace_report_options o = { .sz = offsetof(struct cowtrace_report_options, sort),
					     .sort = 77,
					     .sides = 77 };
	struct cowtrace_report *r;

	assert_int_equal(cowtrace_report_open(path, &o, &r, NULL), 0);
	assert_int_equal(cowtrace_report_nr_write_sites(r), 7);
	cowtrace_report_close(r);
	o.sz = sizeof(o);
	assert_int_equal(cowtrace_report_open(path, &o, &r, NULL), -EINVAL);
	o.sort = COWTRACE_SORT_STALL;
	assert_int_equal(cowtrace_report_open(path, &o, &r, NULL), -EINVAL);
}

static void test_prices(void **state)
{
	struct cowtrace_report *r;

	/* A split costs what a copy costs, at least. */
	sql("DELETE FROM meta WHERE key='fault_huge_ns'");
	r = open_all();
	assert_int_equal(cowtrace_report_writes(r)->fault_huge_ns, COWTRACE_UNKNOWN);
	assert_int_equal(site(r, 13, "parent", "")->stall_ns, 7 * 2000);
	cowtrace_report_close(r);
	/* Nobody could measure: then nothing is made up. */
	sql("UPDATE meta SET value='0' WHERE key='fault_copy_ns'");
	r = open_all();
	assert_int_equal(cowtrace_report_writes(r)->stall_ns, COWTRACE_UNKNOWN);
	assert_int_equal(site(r, 13, "parent", "")->stall_ns, COWTRACE_UNKNOWN);
	cowtrace_report_close(r);
}

static void test_other_machine(void **state)
{
	struct cowtrace_report *r;

	sql("UPDATE meta SET value='vax' WHERE key='machine'");
	r = open_all();
	site(r, 11, "parent", "system call 0");
	cowtrace_report_close(r);
}

static void test_not_watched(void **state)
{
	struct cowtrace_report *r;

	scenario_write(path);
	r = open_all();
	assert_false(cowtrace_report_writes(r)->watched);
	assert_int_equal(cowtrace_report_nr_write_sites(r), 0);
	assert_int_equal(cowtrace_report_nr_site_regions(r), 0);
	assert_int_equal(cowtrace_report_writes(r)->step_ns, 0);
	assert_int_equal(cowtrace_report_agreement(r)->predicted_total, 0);
	assert_int_equal(reason(side(r, 1, "parent"), "no_engine"), 300);
	cowtrace_report_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_sites, setup),
		cmocka_unit_test_setup(test_ids, setup),
		cmocka_unit_test_setup(test_forks_and_frames, setup),
		cmocka_unit_test_setup(test_totals, setup),
		cmocka_unit_test_setup(test_time, setup),
		cmocka_unit_test_setup(test_regions, setup),
		cmocka_unit_test_setup(test_huge_pages_lost, setup),
		cmocka_unit_test_setup(test_huge_pages_lost_of_some, setup),
		cmocka_unit_test_setup(test_huge_pages_what_followed, setup),
		cmocka_unit_test_setup(test_huge_pages_gone, setup),
		cmocka_unit_test_setup(test_huge_pages_old_trace, setup),
		cmocka_unit_test_setup(test_huge_pages_damaged, setup),
		cmocka_unit_test_setup(test_agreement, setup),
		cmocka_unit_test_setup(test_attribution, setup),
		cmocka_unit_test_setup(test_filters, setup),
		cmocka_unit_test_setup(test_order, setup),
		cmocka_unit_test_setup(test_old_options, setup),
		cmocka_unit_test_setup(test_prices, setup),
		cmocka_unit_test_setup(test_other_machine, setup),
		cmocka_unit_test_setup(test_not_watched, setup),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
