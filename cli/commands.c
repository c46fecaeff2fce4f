/* SPDX-License-Identifier: MIT */
/*
 * The list of subcommands, in the order of --help: one line each.  What they do
 * and which options they take stands in their cmd_*.c.
 */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "exit.h"

/* The build's own: `cowtrace __roff CMD`, `cowtrace __completion`. */
static const struct ct_opt no_opts[] = { { 0 } };

static int run_roff(int argc, char **argv)
{
	const struct ct_command *cmd = argc == 2 ? ct_command_find(argv[1]) : NULL;

	if (!cmd)
		return CT_EXIT_USAGE;
	ct_help_roff(stdout, cmd);
	return CT_EXIT_OK;
}

static int run_completion(int argc, char **argv)
{
	ct_help_completion(stdout);
	return CT_EXIT_OK;
}

static const struct ct_command command_roff = {
	.name = "__roff",
	.operands = "CMD",
	.opts = no_opts,
	.hidden = true,
	.run = run_roff,
};

static const struct ct_command command_completion = {
	.name = "__completion",
	.operands = "",
	.opts = no_opts,
	.hidden = true,
	.run = run_completion,
};

const struct ct_command *const ct_commands[] = {
#ifdef CT_HAVE_RECORD
	&ct_command_record,
#endif
	&ct_command_report, &command_roff, &command_completion, NULL,
};
