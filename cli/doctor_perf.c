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

static const char *const loss = "the perf engine: call sites for an ordinary user, and of .data";

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

	c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, "perf_events", "page-fault events",
			  "refused (%s); %s", filter ? "by a seccomp filter" : strerror(-err),
			  level(d, text, sizeof(text)));
	c->loss = loss;
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
	const struct ct_perfev_probe *p = &d->probes.perfev;
	struct ct_check *c;

	if (!p->open && !p->signal && !p->blocked) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "perf_signals", "their signals",
			      "an event signals the thread that faults, and harms none that "
			      "blocks SIGTRAP");
		return;
	}
	if (!p->open && !p->signal)
		c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, "perf_signals", "their signals",
				  "the kernel kills a thread that has SIGTRAP blocked");
	else
		c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, "perf_signals", "their signals",
				  "an event does not signal the thread that faults: %s",
				  strerror(-(p->open ? p->open : p->signal)));
	c->loss = loss;
	ct_check_fix(c, CT_FIX_KERNEL, "Linux 5.18 or later");
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
