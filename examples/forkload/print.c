/* SPDX-License-Identifier: MIT */
/*
 * forkload's truth as JSON on stdout.  Counts are in 4 KiB pages.  Where page
 * frames are visible they are what is printed, and `ok` says that the model
 * agrees with every one of them; elsewhere the model is.
 */
#include "forkload.h"

#include <stdio.h>

static bool agrees(uint32_t seen, uint32_t model, uint32_t unsure)
{
	return seen >= model && seen <= model + unsure;
}

static bool count_agrees(const struct fl_count *seen, const struct fl_count *model)
{
	return seen->shared == model->shared && seen->dropped == model->dropped &&
	       seen->fresh == model->fresh && agrees(seen->copied, model->copied, model->unsure);
}

static void print_region(const struct fl *fl, const struct fl_fork *f, int side, int r,
			 const char *comma)
{
	const struct fl_count *c = &f->n[fl->pfn ? FL_BY_PFN : FL_BY_MODEL][side][r];
	const struct fl_count *m = &f->n[FL_BY_MODEL][side][r];

	printf("%s\n      {\"region\": \"%s\", \"side\": \"%s\", \"start\": %lu, \"end\": %lu, "
	       "\"shared\": %u, \"huge\": %u, \"copied\": %u, \"dropped\": %u, \"new\": %u, "
	       "\"unsure\": %u, \"expected_copied\": %u}",
	       comma, fl->regions[r].name, side == FL_SIDE_PARENT ? "parent" : "child",
	       (unsigned long)f->start[r],
	       (unsigned long)(f->start[r] + fl->regions[r].pages * FL_PAGE), c->shared, c->huge,
	       c->copied, c->dropped, c->fresh, m->unsure, m->copied);
}

static const char *const roles[] = { "parent", "child", "grandchild" };

/* Who wrote first, and what became of it: one line for each function and side. */
static void print_first(const struct fl *fl, const struct fl_fork *f)
{
	const char *comma = "";

	printf("], \"first_writes\": [");
	for (int side = 0; side < FL_NR_SIDES; side++) {
		enum fl_proc_id p = side == FL_SIDE_PARENT ? f->parent : f->child;

		for (int r = 0; r < FL_NR_REGIONS; r++) {
			const struct fl_first *n = &f->first[side][r];

			if (!n->copied && !n->reused && !n->unsure)
				continue;
			printf("%s\n      {\"function\": \"w_%s_%s\", \"region\": \"%s\", "
			       "\"side\": "
			       "\"%s\", \"copied\": %u, \"reused\": %u, \"unsure\": %u}",
			       comma, fl->regions[r].name, roles[fl->procs[p].role],
			       fl->regions[r].name, side == FL_SIDE_PARENT ? "parent" : "child",
			       n->copied, n->reused, n->unsure);
			comma = ",";
		}
	}
	printf("]}");
}

static bool print_fork(const struct fl *fl, uint32_t id)
{
	static const char *const ends[] = { "killed",	  "exit", "_exit",
					    "quick_exit", "exec", "killed" };
	const struct fl_fork *f = &fl->forks[id];
	const char *comma = "";
	bool ok = true;

	printf("%s\n    {\"id\": %u, \"parent_pid\": %d, \"child_pid\": %d, \"child_ends\": "
	       "\"%s\", "
	       "\"regions\": [",
	       id > 1 ? "," : "", id, f->parent_pid, f->child_pid, ends[f->child]);
	for (int side = 0; side < FL_NR_SIDES; side++) {
		/* A killed child cannot be asked. */
		if (side == FL_SIDE_CHILD && f->child == FL_D)
			continue;
		for (int r = 0; r < FL_NR_REGIONS; r++) {
			if (!fl->regions[r].pages || !f->start[r])
				continue;
			print_region(fl, f, side, r, comma);
			comma = ",";
			if (fl->pfn &&
			    !count_agrees(&f->n[FL_BY_PFN][side][r], &f->n[FL_BY_MODEL][side][r]))
				ok = false;
		}
	}
	print_first(fl, f);
	return ok;
}

static void print_writers(const struct fl *fl)
{
	const char *comma = "";

	printf("  \"writers\": [");
	for (int r = 0; r < FL_NR_REGIONS; r++) {
		for (int role = 0; role < FL_NR_ROLES; role++) {
			const struct fl_writer *w = &fl->writers[r][role];

			if (!w->pages)
				continue;
			printf("%s\n    {\"function\": \"w_%s_%s\", \"pages\": %u, \"copied\": %u, "
			       "\"reused\": %u, \"new\": %u}",
			       comma, fl->regions[r].name, roles[role], w->pages, w->copied,
			       w->reused, w->fresh);
			comma = ",";
		}
	}
	printf("],\n");
}

static void print_late(const struct fl *fl)
{
	const char *comma = "";

	printf("  \"late_writes\": [");
	for (int r = 0; r < FL_NR_REGIONS; r++) {
		if (!fl->late[r])
			continue;
		printf("%s\n    {\"function\": \"w_%s_parent\", \"region\": \"%s\", \"pages\": %u}",
		       comma, fl->regions[r].name, fl->regions[r].name, fl->late[r]);
		comma = ",";
	}
	printf("],\n");
}

void fl_print(const struct fl *fl)
{
	const char *comma = "";
	bool ok = true;

	printf("{\n  \"pfn\": %s, \"drained\": %s, \"threads\": %u, \"huge\": %s, \"tagged\": %s,\n"
	       "  \"moved_pages\": %lu, \"bad_births\": %u,\n  \"regions\": [",
	       fl->pfn ? "true" : "false", fl->drained ? "true" : "false", fl->nr_threads,
	       fl->huge ? "true" : "false", fl->tag ? "true" : "false",
	       (unsigned long)fl->moved_pages, fl->nr_errors);
	for (int r = 0; r < FL_NR_REGIONS; r++) {
		if (!fl->regions[r].pages)
			continue;
		printf("%s\n    {\"name\": \"%s\", \"kind\": \"%s\", \"pages\": %u}", comma,
		       fl->regions[r].name, fl->regions[r].kind, fl->regions[r].pages);
		comma = ",";
	}
	printf("],\n");
	print_writers(fl);
	print_late(fl);
	printf("  \"forks\": [");
	for (uint32_t id = 1; id <= fl->nr_forks; id++)
		ok &= print_fork(fl, id);
	printf("],\n  \"ok\": %s\n}\n", ok && !fl->nr_errors ? "true" : "false");
}
