/* SPDX-License-Identifier: MIT */
/*
 * cowtrace report TRACE: opens a trace, as the options want it, and prints it as
 * text or JSON.  What is printed is in text*.c and export/json.c.
 *
 * Invariant: each way in which a trace cannot be read has an exit status of its
 * own (docs/exit-status.md), and one line on stderr.
 */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "exit.h"
#include "export/json.h"
#include "text.h"

#define TOP_UNSET UINT64_MAX
#define DEFAULT_TOP 10

struct report_options {
	const char *format;
	u64 fork, process, top;
	u64 since_ns, until_ns;
	const char *sort, *side;
	bool no_symbols;
};

#define OFFSET(field) offsetof(struct report_options, field)

static const struct ct_opt report_opts[] = {
	{ "format", 'f', CT_OPT_CHOICE, "FORMAT", "text for people, or json (default: text)",
	  OFFSET(format), "text|json" },
	{ "fork", 0, CT_OPT_COUNT, "ID", "this fork only, by the number in the table of forks",
	  OFFSET(fork), NULL },
	{ "process", 'p', CT_OPT_COUNT, "PID",
	  "forks in which process PID took part, and its regions", OFFSET(process), NULL },
	{ "since", 0, CT_OPT_SECONDS, "TIME",
	  "forks still open TIME after the recording began, such as 1.5\n"
	  "(seconds) or 200ms",
	  OFFSET(since_ns), NULL },
	{ "until", 0, CT_OPT_SECONDS, "TIME", "forks begun before TIME", OFFSET(until_ns), NULL },
	{ "top", 'n', CT_OPT_COUNT, "N",
	  "the N rows with most copies in each list, 0 for all\n"
	  "(default: 10 in text, all in JSON); sums stay whole",
	  OFFSET(top), NULL },
	{ "sort", 0, CT_OPT_CHOICE, "KEY",
	  "order of call sites: copies (pages), bytes (copied), reuses\n"
	  "(pages), stall (estimated time in faults) (default: copies)",
	  OFFSET(sort), "copies|bytes|reuses|stall" },
	{ "side", 0, CT_OPT_CHOICE, "SIDE",
	  "call sites of this side of the forks only: parent or child", OFFSET(side),
	  "parent|child" },
	{ "no-symbols", 0, CT_OPT_FLAG, NULL,
	  "call sites as module+offset, without reading debug information", OFFSET(no_symbols),
	  NULL },
	{ 0 },
};

const struct ct_command ct_command_report = {
	.name = "report",
	.summary = "print what a trace says",
	.operands = "TRACE",
	.details = "Sizes are of 4 KiB pages: a page of a huge one counts like any other.\n"
		   "A finished trace, one that is being recorded and one whose recorder was\n"
		   "killed can be read alike.",
	.opts = report_opts,
	.run = ct_cmd_report,
};

static int exit_of(int rc)
{
	switch (-rc) {
	case ENOENT:
		return CT_EXIT_TRACE_ABSENT;
	case ENODATA:
		return CT_EXIT_TRACE_EMPTY;
	case EMEDIUMTYPE:
		return CT_EXIT_NOT_A_TRACE;
	case EBADMSG:
		return CT_EXIT_TRACE_DAMAGED;
	case EPROTO:
		return CT_EXIT_TRACE_NEWER;
	case ESRCH:
		return CT_EXIT_NO_MATCH;
	case ENOMEM:
		return CT_EXIT_FAILED;
	default:
		return CT_EXIT_TRACE_UNREADABLE;
	}
}

static int check(const struct report_options *o, bool have_fork)
{
	if (have_fork && !o->fork)
		return ct_usage_error(&ct_command_report, "--fork counts from 1");
	if (o->fork != TOP_UNSET && o->fork > UINT32_MAX)
		return ct_usage_error(&ct_command_report, "--fork is too large");
	if (o->process > INT32_MAX)
		return ct_usage_error(&ct_command_report, "--process is no pid");
	if (o->until_ns && o->until_ns <= o->since_ns)
		return ct_usage_error(&ct_command_report, "--until must be later than --since");
	return 0;
}

static enum cowtrace_report_sort sort_of(const char *word)
{
	static const char *const words[] = {
		[COWTRACE_SORT_COPIES] = "copies",
		[COWTRACE_SORT_BYTES] = "bytes",
		[COWTRACE_SORT_REUSES] = "reuses",
		[COWTRACE_SORT_STALL] = "stall",
	};
	size_t i = 0;

	while (i + 1 < ct_array_size(words) && strcmp(words[i], word))
		i++;
	return (enum cowtrace_report_sort)i;
}

static int print(const struct cowtrace_report *r, const struct report_options *o, const char *path)
{
	struct ct_text_report t = {
		.r = r, .path = path, .top = o->top, .sort = sort_of(o->sort), .side = o->side
	};
	int rc;

	if (!strcmp(o->format, "json")) {
		rc = ct_export_json(r, stdout);
	} else {
		ct_term_init(&t.term, stdout);
		t.filtered = o->fork || o->process || o->since_ns || o->until_ns;
		rc = ct_text_print(&t);
	}
	if (rc != -ENOMEM)
		return CT_EXIT_OK;
	fputs("cowtrace report: not enough memory\n", stderr);
	return CT_EXIT_FAILED;
}

int ct_cmd_report(int argc, char **argv)
{
	struct report_options o = {
		.format = "text", .sort = "copies", .fork = TOP_UNSET, .top = TOP_UNSET
	};
	struct cowtrace_report_options want = { .sz = sizeof(want) };
	char why[COWTRACE_REPORT_WHY_LEN];
	struct cowtrace_report *r;
	int status, rc, first = ct_opt_parse(&ct_command_report, argc, argv, &o, &status);

	if (first < 0)
		return status;
	if (argc - first != 1)
		return ct_usage_error(
			&ct_command_report,
			argc == first ? "which trace?  Give the file that `cowtrace record` wrote"
				      : "one trace at a time");
	status = check(&o, o.fork != TOP_UNSET);
	if (status)
		return status;
	if (o.fork == TOP_UNSET)
		o.fork = 0;
	if (o.top == TOP_UNSET)
		o.top = strcmp(o.format, "json") ? DEFAULT_TOP : 0;
	want.fork = (u32)o.fork;
	want.process = (s32)o.process;
	want.since_ns = o.since_ns;
	want.until_ns = o.until_ns;
	want.top = (u32)ct_min(o.top, (u64)UINT32_MAX);
	want.no_symbols = o.no_symbols;
	want.sort = sort_of(o.sort);
	if (o.side)
		want.sides =
			strcmp(o.side, "parent") ? COWTRACE_SIDES_CHILD : COWTRACE_SIDES_PARENT;
	rc = cowtrace_report_open(argv[first], &want, &r, why);
	if (rc) {
		fprintf(stderr, "cowtrace report: %s\n", why);
		return exit_of(rc);
	}
	status = print(r, &o, argv[first]);
	cowtrace_report_close(r);
	return status;
}
