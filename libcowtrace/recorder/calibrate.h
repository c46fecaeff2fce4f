/* SPDX-License-Identifier: MIT */
/* What an untraced write fault costs on this machine, for the report's estimates. */
#ifndef CT_RECORDER_CALIBRATE_H
#define CT_RECORDER_CALIBRATE_H

#include "base/base.h"

/* ns a fault, mean of some hundred; 0: could not be measured. */
struct ct_fault_costs {
	u64 copy;  /* 4 KiB copied */
	u64 reuse; /* made writable in place */
	u64 huge;  /* first write to a shared huge page: split, and one page copied */
};

/*
 * Measures in a child process, some 10 ms.  Forks: before any thread is started.
 * What fails leaves zeroes.
 */
void ct_calibrate(struct ct_fault_costs *ret);

#endif
