/* SPDX-License-Identifier: MIT */
/*
 * perf_event_open(2), tried three times.  The paranoid level is read for the words
 * of whoever explains a refusal; what is permitted is found out by asking, because
 * distributions give levels above 2 meanings of their own.
 *
 * Invariant: no event outlives the probe, and none was ever enabled.
 */
#include "sys/perf_probe.h"

#include <errno.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "sys/setting.h"

static int try(bool signals, bool kernel)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = 1,
		.disabled = 1,
		.exclude_kernel = !kernel,
		.exclude_hv = 1,
		.sigtrap = signals,
		/* The kernel gives sigtrap to no event that an exec would leave behind. */
		.remove_on_exec = signals,
	};
	long fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	close((int)fd);
	return 0;
}

void ct_perf_probe(struct ct_perf_probe *ret)
{
	s64 level;

	ret->event = try(false, false);
	ret->signals = try(true, false);
	ret->kernel = try(false, true);
	ret->paranoid = ct_setting_number("/proc/sys/kernel/perf_event_paranoid", &level)
				? INT_MIN
				: (int)level;
}
