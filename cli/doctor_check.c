/* SPDX-License-Identifier: MIT */
/*
 * Checks as values: their words, and the ways to mend them that many share.
 *
 * Invariant: a fix is something to be copied as it is, by the user it is for.
 */
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>

#include "doctor.h"

const char *ct_check_result_name(enum ct_check_result r)
{
	static const char *const names[] = { "ok", "info", "less", "no" };

	return names[r];
}

const char *ct_fix_by_name(enum ct_fix_by by)
{
	static const char *const names[] = { "command",	  "sysctl",  "device",
					     "container", "systemd", "kernel" };

	return names[by];
}

const char *ct_verdict_name(enum ct_verdict v)
{
	static const char *const names[] = { "full", "partial", "none" };

	return names[v];
}

struct ct_check *ct_doctor_add(struct ct_doctor *d, enum ct_check_result result, const char *group,
			       const char *id, const char *name, const char *fmt, ...)
{
	/* More of them than there is room for would be a mistake of ours: the last gives way. */
	struct ct_check *c = &d->checks[ct_min(d->nr_checks, (size_t)CT_MAX_CHECKS - 1)];
	va_list ap;

	*c = (struct ct_check){ .group = group, .id = id, .name = name, .result = result };
	va_start(ap, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	d->nr_checks = ct_min(d->nr_checks + 1, (size_t)CT_MAX_CHECKS);
	return c;
}

void ct_check_fix(struct ct_check *c, enum ct_fix_by by, const char *fmt, ...)
{
	va_list ap;

	if (c->nr_fixes == CT_CHECK_FIXES)
		return;
	c->fixes[c->nr_fixes].by = by;
	va_start(ap, fmt);
	vsnprintf(c->fixes[c->nr_fixes].text, sizeof(c->fixes[0].text), fmt, ap);
	va_end(ap);
	c->nr_fixes++;
}

void ct_check_fix_cap(const struct ct_doctor *d, struct ct_check *c, const char *cap)
{
	if (d->probes.place.userns == 0) {
		/* Whatever is added here is held in this user namespace only. */
		ct_check_fix(c, CT_FIX_CONTAINER, "docker run --userns=host --cap-add %s ...", cap);
		ct_check_fix(c, CT_FIX_CONTAINER, "sudo podman run --cap-add %s ...", cap);
		return;
	}
	if (d->probes.place.uid)
		ct_check_fix(c, CT_FIX_COMMAND, "sudo cowtrace record --user \"$USER\" -- COMMAND");
	ct_check_fix(c, CT_FIX_CONTAINER, "docker run --cap-add %s ...", cap);
	ct_check_fix(c, CT_FIX_SYSTEMD, "%s=CAP_%s",
		     d->probes.place.uid ? "AmbientCapabilities" : "CapabilityBoundingSet", cap);
}
