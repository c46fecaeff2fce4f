/* SPDX-License-Identifier: MIT */
/*
 * cowtrace COMMAND ...: finds the subcommand and runs it.  Nothing of what a
 * command does is here.
 *
 * Invariant: what could not be written to stdout is an error, so that
 * `cowtrace report > /dev/full` does not look like success.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "exit.h"
#include "opt.h"

static int no_such_command(const char *name)
{
	const char *names[32] = { NULL };
	const char *near;
	size_t n = 0;

	for (size_t i = 0; ct_commands[i] && n < ct_array_size(names) - 1; i++)
		if (!ct_commands[i]->hidden)
			names[n++] = ct_commands[i]->name;
	near = ct_nearest(name, names);
	if (near)
		fprintf(stderr, "cowtrace: there is no command '%s': did you mean '%s'?\n", name,
			near);
	else
		fprintf(stderr,
			"cowtrace: there is no command '%s' (`cowtrace --help` lists them)\n",
			name);
	return CT_EXIT_USAGE;
}

static int no_such_option(const char *word)
{
	fprintf(stderr,
		"cowtrace: %s comes before any command; options go after one "
		"(see `cowtrace --help`)\n",
		word);
	return CT_EXIT_USAGE;
}

static int run_help(int argc, char **argv)
{
	const struct ct_command *cmd = argc > 2 ? ct_command_find(argv[2]) : NULL;

	if (argc > 2 && !cmd)
		return no_such_command(argv[2]);
	if (cmd)
		ct_help_command(stdout, cmd);
	else
		ct_help_all(stdout);
	return CT_EXIT_OK;
}

static int dispatch(int argc, char **argv)
{
	const struct ct_command *cmd;

	if (argc < 2) {
		ct_help_all(stderr);
		return CT_EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("cowtrace %s\n", COWTRACE_VERSION);
		return CT_EXIT_OK;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return run_help(argc, argv);
	if (argv[1][0] == '-')
		return no_such_option(argv[1]);
	cmd = ct_command_find(argv[1]);
	return cmd ? cmd->run(argc - 1, argv + 1) : no_such_command(argv[1]);
}

int main(int argc, char **argv)
{
	int status = dispatch(argc, argv);
	bool failed = ferror(stdout);

	errno = 0;
	if (fflush(stdout) || failed) {
		fprintf(stderr, "cowtrace: cannot write the output: %s\n",
			errno ? strerror(errno) : "an earlier write failed");
		return status ? status : CT_EXIT_OUTPUT;
	}
	return status;
}
