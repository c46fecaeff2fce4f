/* SPDX-License-Identifier: MIT */
/*
 * The doctor on page-fault events: whether they may be opened, whether they can
 * signal the thread that faults, and whose writes they see.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "doctor.h"

#define GROUP "perf"

/* Without the engine that would use them they are worth knowing, no more. */
static enum ct_check_result lacking(const struct ct_doctor *d)
{
	return ct_engine_is_built(CT_ENGINE_ID_PERF, d->facts) ? CT_CHECK_LESS : CT_CHECK_INFO;
}

static const char *loss(const struct ct_doctor *d)
{
	return lacking(d) == CT_CHECK_LESS ? "call sites for an ordinary user" : NULL;
}

static void fix_level(struct ct_check *c, int wanted)
{
	ct_check_fix(c, CT_FIX_SYSCTL, "sudo sysctl -w kernel.perf_event_paranoid=%d", wanted);
	ct_check_fix(c, CT_FIX_CONTAINER, "docker run --cap-add PERFMON ...");
	ct_check_fix(c, CT_FIX_SYSTEMD, "AmbientCapabilities=CAP_PERFMON");
}

static const char *level(const struct ct_doctor *d, char *text, size_t len)
{
	int v = d->probes.perf.paranoid;

	if (v == INT_MIN)
		return "kernel.perf_event_paranoid is not there";
	snprintf(text, len, "kernel.perf_event_paranoid is %d", v);
	return text;
}

static void refused(struct ct_doctor *d, int err)
{
	/* The paranoid level is answered with EACCES, a filter with EPERM. */
	bool filter = err == -EPERM && d->probes.place.seccomp == 2;
	char text[80];
	struct ct_check *c;

	c = ct_doctor_add(d, lacking(d), GROUP, "perf_events", "page-fault events",
			  "refused (%s); %s", filter ? "by a seccomp filter" : strerror(-err),
			  level(d, text, sizeof(text)));
	c->loss = loss(d);
	if (filter) {
		ct_check_fix(c, CT_FIX_CONTAINER, "docker run --cap-add PERFMON ...");
		ct_check_fix(c, CT_FIX_CONTAINER,
			     "docker run --security-opt seccomp=unconfined ...");
		ct_check_fix(c, CT_FIX_SYSTEMD, "SystemCallFilter=perf_event_open");
	} else if (err == -ENOSYS || err == -ENOENT || err == -EOPNOTSUPP) {
		ct_check_fix(c, CT_FIX_KERNEL, "CONFIG_PERF_EVENTS=y");
	} else {
		fix_level(c, 2);
	}
}

static void signals(struct ct_doctor *d)
{
	int err = d->probes.perf.signals;
	struct ct_check *c;

	if (!err) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "perf_signals", "their signals",
			      "an event can signal the thread that faults (sigtrap)");
		return;
	}
	c = ct_doctor_add(d, lacking(d), GROUP, "perf_signals", "their signals",
			  "an event cannot signal the thread that faults: %s", strerror(-err));
	c->loss = loss(d);
	ct_check_fix(c, CT_FIX_KERNEL, "Linux 5.13 or later");
}

static void kernel_side(struct ct_doctor *d)
{
	struct ct_check *c;

	if (!d->probes.perf.kernel) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "perf_kernel", "the kernel's writes",
			      "faults of system calls may be counted too");
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_INFO, GROUP, "perf_kernel", "the kernel's writes",
			  "faults of system calls are hidden from page-fault events");
	fix_level(c, 1);
}

void ct_doctor_check_perf(struct ct_doctor *d)
{
	char text[80];

	if (d->probes.perf.event) {
		refused(d, d->probes.perf.event);
		return;
	}
	ct_doctor_add(d, CT_CHECK_OK, GROUP, "perf_events", "page-fault events",
		      "may be opened; %s", level(d, text, sizeof(text)));
	signals(d);
	kernel_side(d);
}
