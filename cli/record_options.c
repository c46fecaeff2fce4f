/* SPDX-License-Identifier: MIT */
/*
 * The option table of `cowtrace record`, and the % expansion of the trace's
 * name.  Apart from cmd_record.c because the man page needs nothing else.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "record_options.h"

#define OFFSET(field) offsetof(struct ct_record_options, field)

static const struct ct_opt record_opts[] = {
	{ "output", 'o', CT_OPT_STRING, "FILE",
	  "write the trace to FILE; %p is replaced by the pid, %e by the\n"
	  "command's name, %t by the time in seconds, %h by the host name\n"
	  "(default: " CT_RECORD_OUTPUT ")",
	  OFFSET(output), NULL },
	{ "user", 'u', CT_OPT_STRING, "NAME",
	  "run the command as user NAME; cowtrace keeps its own rights", OFFSET(user), NULL },
	{ "engine", 0, CT_OPT_CHOICE, "ENGINE",
	  "what observes the writes: uffd (each first write and its call\n"
	  "site), perf (the same after the fact, of every kind of memory,\n"
	  "without privilege), census (totals by fork and region; costs\n"
	  "nothing between forks), or auto: the first of them that can run\n"
	  "here, as `cowtrace doctor` says (default: auto)",
	  OFFSET(engine), "auto|uffd|perf|census" },
	{ "hold", 0, CT_OPT_COUNT, "MS",
	  "hold a new child for at most MS milliseconds while its pages\n"
	  "are read; the parent is never held (default: 1000)",
	  OFFSET(hold_ms), NULL },
	{ "linger", 0, CT_OPT_COUNT, "MS",
	  "with uffd and perf: go on watching a process for MS\n"
	  "milliseconds after its last relative has gone (default: 1000)",
	  OFFSET(linger_ms), NULL },
	{ "listen", 0, CT_OPT_STRING, "PATH",
	  "run no command: record every program that is started with the\n"
	  "preload and COWTRACE_RECORDER=PATH, until SIGTERM or SIGINT",
	  OFFSET(listen), NULL },
	{ "listen-group", 0, CT_OPT_STRING, "NAME",
	  "with --listen: programs of group NAME may attach too\n"
	  "(default: those of cowtrace's own user and of root)",
	  OFFSET(listen_group), NULL },
	{ "rotate-size", 0, CT_OPT_BYTES, "BYTES",
	  "go on in another file when FILE has BYTES (64M, 1G): FILE.000001\n"
	  "is the oldest one, FILE the running one; each is a trace",
	  OFFSET(rotate_len), NULL },
	{ "rotate-every", 0, CT_OPT_SECONDS, "TIME", "the same after TIME (10m, 6h, 1d)",
	  OFFSET(rotate_ns), NULL },
	{ "keep", 0, CT_OPT_COUNT, "N", "keep N files beside the running one, the newest",
	  OFFSET(keep), NULL },
	{ "max-disk", 0, CT_OPT_BYTES, "BYTES",
	  "all files together take BYTES at most: the oldest ones are\n"
	  "removed; a running one that is near the bound by itself gets no\n"
	  "single calls and first writes any more",
	  OFFSET(max_len), NULL },
	{ "quiet", 'q', CT_OPT_FLAG, NULL, "no progress and no summary; errors are still printed",
	  OFFSET(quiet), NULL },
	{ 0 },
};

const struct ct_command ct_command_record = {
	.name = "record",
	.summary = "run a command and record what its forks share and copy",
	.operands = "[--] COMMAND [ARG...] | --listen PATH",
	.details = "The exit status is the command's own; 122 to 127 are cowtrace's\n"
		   "(cowtrace-record(1), EXIT STATUS).",
	.opts = record_opts,
	.passes_options_on = true,
	.run = ct_cmd_record,
};

static int put_value(FILE *out, char letter, pid_t pid, const char *command)
{
	const char *slash = strrchr(command, '/');
	char host[256] = "";

	switch (letter) {
	case 'p':
		fprintf(out, "%d", pid);
		return 0;
	case 'e':
		fputs(slash ? slash + 1 : command, out);
		return 0;
	case 't':
		fprintf(out, "%lld", (long long)time(NULL));
		return 0;
	case 'h':
		gethostname(host, sizeof(host) - 1);
		fputs(host, out);
		return 0;
	case '%':
		fputc('%', out);
		return 0;
	}
	return -EINVAL;
}

int ct_expand_name(const char *pattern, pid_t pid, const char *command, char **ret_name)
{
	char *name = NULL;
	size_t len;
	FILE *out = open_memstream(&name, &len);
	int rc = 0;

	if (!out)
		return -ENOMEM;
	for (; *pattern && !rc; pattern++) {
		if (*pattern == '%')
			rc = put_value(out, *++pattern, pid, command);
		else
			fputc(*pattern, out);
		if (!*pattern)
			break;
	}
	if (fclose(out) && !rc)
		rc = -ENOMEM;
	if (rc) {
		free(name);
		return rc;
	}
	*ret_name = name;
	return 0;
}
