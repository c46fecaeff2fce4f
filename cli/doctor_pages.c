/* SPDX-License-Identifier: MIT */
/*
 * The doctor on what may be seen of pages: without frames copies are bounds, without
 * flags verdicts are uncertain.
 */
#include <string.h>

#include "doctor.h"

#define GROUP "pages"

static void frames(struct ct_doctor *d)
{
	struct ct_check *c;

	if (d->probes.kcaps.pfns) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "page_frames", "page frames",
			      "are shown: copies are exact, on each side");
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, "page_frames", "page frames",
			  "are hidden: CAP_SYS_ADMIN outside of user namespaces shows them");
	c->loss = "exact counts: copies are bounds of both sides together, and no verdict can be "
		  "checked";
	ct_check_fix_cap(d, c, "SYS_ADMIN");
}

static void flags(struct ct_doctor *d)
{
	struct ct_check *c;

	if (d->probes.kcaps.kpage) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "page_flags", "/proc/kpageflags",
			      "verdicts know the state of a page%s",
			      d->probes.kcaps.anon_exclusive ? ", its exclusive mark too" : "");
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, "page_flags", "/proc/kpageflags",
			  d->probes.kcaps.pfns ? "cannot be read"
					       : "is of no use without page frames");
	c->loss = "certain verdicts with the uffd engine: most are uncertain";
	if (d->probes.kcaps.pfns && d->probes.place.uid)
		ct_check_fix(c, CT_FIX_COMMAND, "sudo cowtrace record --user \"$USER\" -- COMMAND");
	else if (!d->probes.kcaps.pfns)
		ct_check_fix_cap(d, c, "SYS_ADMIN");
}

static void scan(struct ct_doctor *d)
{
	struct ct_check *c;

	if (d->probes.kcaps.pagemap_scan) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "pagemap_scan", "PAGEMAP_SCAN",
			      "page maps are read in runs");
		return;
	}
	c = ct_doctor_add(d, CT_CHECK_NO, GROUP, "pagemap_scan", "PAGEMAP_SCAN",
			  "this kernel has none");
	c->loss = "the uffd engine; huge pages are not told apart, and reading is slower";
	ct_check_fix(c, CT_FIX_KERNEL, "Linux 6.7 or later");
}

static void model(struct ct_doctor *d)
{
	struct ct_check *c;

	if (d->gen_error) {
		c = ct_doctor_add(d, CT_CHECK_NO, GROUP, "policy_model", "policy model",
				  "cannot be found out: %s", strerror(-d->gen_error));
		c->loss = "the uffd engine, which predicts by the running kernel's rule";
		ct_check_fix(c, CT_FIX_COMMAND, "ulimit -u unlimited");
	} else if (d->gen.certain) {
		ct_doctor_add(d, CT_CHECK_OK, GROUP, "policy_model", "policy model",
			      "%s, by experiment", d->gen.model);
	} else {
		c = ct_doctor_add(d, CT_CHECK_LESS, GROUP, "policy_model", "policy model",
				  "probably %s: an experiment could not be made (`cowtrace policy "
				  "probe` shows which)",
				  d->gen.model);
		c->loss = "predictions of the uffd engine may be wrong; what is observed is not";
	}
}

void ct_doctor_check_pages(struct ct_doctor *d)
{
	frames(d);
	flags(d);
	scan(d);
	model(d);
}
