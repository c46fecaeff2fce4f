/* SPDX-License-Identifier: MIT */
/*
 * What this kernel, and this user on it, can do: found out by trying, once per
 * run.  Versions are never compared.
 */
#ifndef CT_SYS_KCAPS_H
#define CT_SYS_KCAPS_H

#include "base/base.h"

struct ct_kcaps {
	bool pagemap_scan;   /* PAGEMAP_SCAN works (6.7) */
	bool pfns;	     /* pagemap shows PFNs: CAP_SYS_ADMIN in the first user namespace */
	bool kpage;	     /* /proc/kpagecount and kpageflags can be read */
	bool anon_exclusive; /* KPF bit 34 tells AnonExclusive (5.19) */
	/*
	 * KPF_KSM is set on every anonymous page (seen on 6.12 to 7.0): the bit must
	 * be ignored there.
	 */
	bool ksm_flag_lies;
	bool pidfd_exit_info; /* PIDFD_GET_INFO tells an exit status (6.15) */
	u64 zero_pfn;	      /* of the 4 KiB zero page; 0 when PFNs are not permitted */
};

/* Tries everything.  Always succeeds; what cannot be tried is false.  A few ms. */
void ct_kcaps_probe(struct ct_kcaps *ret);

#endif
