/* SPDX-License-Identifier: MIT */
/*
 * The list of subcommands, in the order of --help: one line each.  What they do
 * and which options they take stands in their cmd_*.c.
 */
#include <errno.h>
#include <string.h>

#include "commands.h"
#include "exit.h"

/* The build's own: `cowtrace __man <PAGE.in`, `cowtrace __completion`. */
static const struct ct_opt no_opts[] = { { 0 } };

static int run_man(int argc, char **argv)
{
	return ct_help_man(stdin, stdout) ? CT_EXIT_FAILED : CT_EXIT_OK;
}

static int run_completion(int argc, char **argv)
{
	ct_help_completion(stdout);
	return CT_EXIT_OK;
}

static const struct ct_command command_man = {
	.name = "__man",
	.operands = "",
	.opts = no_opts,
	.hidden = true,
	.run = run_man,
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
	&ct_command_record, &ct_command_doctor,
#endif
	&ct_command_report, &ct_command_policy, &command_man, &command_completion, NULL,
};
