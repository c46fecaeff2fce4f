/* SPDX-License-Identifier: MIT */
/*
 * A program that links libcowtrace and leaves the calls in.  It is told by its
 * argument whether something records, which changes the answer of one call only.
 */
#include <cowtrace/trace.h>

#include "host.h"

static void run_calls(bool recorded)
{
	struct cowtrace_stats stats = { .sz = sizeof(stats) }, small = { .sz = 16 };
	static char long_name[200];
	static char memory[3 * 4096];
	char name[24];
	pid_t pid;
	int i;

	memset(long_name, 'n', sizeof(long_name) - 1);
	errno = 4321;
	check(cowtrace_region_tag(memory, sizeof(memory), "a region") == 0);
	check(cowtrace_region_tag(memory, 1, long_name) == 0);
	check(cowtrace_region_tag(memory, 0, "x") == -EINVAL);
	check(cowtrace_region_tag(memory, (size_t)-1, "x") == -EINVAL);
	check(cowtrace_region_tag(memory, 1, NULL) == -EINVAL);
	check(cowtrace_region_untag(memory, 4096) == 0);
	check(cowtrace_region_untag(memory, 0) == -EINVAL);
	check(cowtrace_phase("serve") == 0);
	check(cowtrace_stats(NULL) == -EINVAL);
	check(cowtrace_stats(&stats) == (recorded ? 0 : -ENOTCONN));
	check(stats.sz == sizeof(stats) && stats.forks == 0);
	small.shared_pages = 99;
	check(cowtrace_stats(&small) == (recorded ? 0 : -ENOTCONN));
	check(small.shared_pages == 99); /* beyond what the caller has */
	small.sz = 3;
	check(cowtrace_stats(&small) == -EINVAL);
	pid = fork();
	if (!pid) {
		check(cowtrace_phase("child") == 0);
		_exit(0);
	}
	check(pid > 0 && !wait_for(pid));
	check(cowtrace_phase("") == 0);
	check(cowtrace_phase(NULL) == 0);
	for (i = 0; i < 80; i++) {
		int ret;

		snprintf(name, sizeof(name), "phase-%d", i);
		ret = cowtrace_phase(name);
		/* serve and child are there already: 63 in all. */
		check(ret == (recorded && i >= 61 ? -ENOSPC : 0));
	}
	check(cowtrace_phase("serve") == 0);
	check(errno == 4321);
	puts("ok");
}

static void run_alone(void)
{
	run_calls(false);
}

static void run_recorded(void)
{
	run_calls(true);
}

int main(int argc, char **argv)
{
	static const struct host_case cases[] = {
		{ "alone", run_alone },
		{ "recorded", run_recorded },
		{ NULL, NULL },
	};

	return host_main(cases, argc, argv);
}
