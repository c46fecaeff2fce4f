/* SPDX-License-Identifier: MIT */
/*
 * Names of system calls.  A trace has numbers, which mean something on the
 * machine of the recording only: on another kind of machine they stay numbers.
 */
#include <string.h>

#include "report/report.h"

static const char *const names[] = {
#include "syscalls.inc"
};

const char *ct_report_syscall(struct cowtrace_report *r, s32 number)
{
	const char *machine = ct_trace_meta(r->trace, "machine");

	if (number < 0)
		return "";
	if ((!machine || !strcmp(machine, CT_BUILD_MACHINE)) &&
	    (size_t)number < ct_array_size(names) && names[number])
		return names[number];
	return ct_pool_format(&r->pool, "system call %d", number);
}
