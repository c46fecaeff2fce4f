/* SPDX-License-Identifier: MIT */
/*
 * read-trace TRACE: the forks of a trace with what they copied, and the call
 * sites that forked, by libcowtrace-report alone.
 *
 *	cc read-trace.c $(pkg-config --cflags --libs cowtrace-report)
 */
#include <inttypes.h>
#include <stdio.h>

#include <cowtrace/report.h>

/* A count that may be unknown. */
static void print_count(const char *what, uint64_t pages)
{
	if (pages == COWTRACE_UNKNOWN)
		printf("  %s ?", what);
	else
		printf("  %s %" PRIu64, what, pages);
}

static void print_forks(const struct cowtrace_report *r)
{
	for (size_t i = 0; i < cowtrace_report_nr_forks(r); i++) {
		const struct cowtrace_fork *f = cowtrace_report_fork(r, i);

		printf("fork %u of %d:", f->id, f->parent_pid);
		print_count("shared", f->pages_shared);
		print_count("parent copied", f->parent_side.copied);
		print_count("child copied", f->child_side.copied);
		printf("  from %s\n", *f->site_text ? f->site_text : "?");
	}
}

static void print_frames(const struct cowtrace_report *r)
{
	for (size_t i = 0; i < cowtrace_report_nr_sites(r); i++) {
		const struct cowtrace_site *s = cowtrace_report_site(r, i);

		printf("site %u: %s\n", s->id, s->text);
		for (uint32_t n = 0; n < s->nr_frames; n++)
			printf("    %s\n", s->frames[n].function);
	}
}

int main(int argc, char **argv)
{
	char why[COWTRACE_REPORT_WHY_LEN];
	struct cowtrace_report *r;

	if (argc != 2) {
		fprintf(stderr, "usage: read-trace TRACE\n");
		return 2;
	}
	if (cowtrace_report_open(argv[1], NULL, &r, why)) {
		fprintf(stderr, "read-trace: %s\n", why);
		return 1;
	}
	print_forks(r);
	print_frames(r);
	cowtrace_report_close(r);
	return 0;
}
