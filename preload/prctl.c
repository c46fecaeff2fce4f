/* SPDX-License-Identifier: MIT */
/*
 * The wrapper of prctl(): what it says about huge pages, merging and names of
 * memory is noted; what it says about seccomp makes us quiet.
 *
 * Quiet comes before the call: after it, a system call of ours might kill the
 * process.  PR_SET_NO_NEW_PRIVS counts as well: libseccomp loads its filter by
 * syscall(), which nobody wraps, but sets this first, through here.
 */
#include <stdarg.h>
#include <sys/prctl.h>

#include "preload/preload.h"
#include "traced/guard.h"
#include "traced/tags.h"
#include "traced/thp.h"

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static void note(struct ct_call *call, int option, const unsigned long arg[4])
{
	struct ct_event ev = { .type = CT_EV_PRCTL, .arg = (u64)option, .arg2 = arg[0] };

	if (option == PR_SET_VMA) {
		if (arg[0] != PR_SET_VMA_ANON_NAME)
			return;
		ev = (struct ct_event){ .type = CT_EV_VMA_NAME, .addr = arg[1], .len = arg[2] };
		/* The kernel has just read it. */
		if (arg[3])
			ct_tag_copy_name(ev.name, (const char *)arg[3]);
	}
	ct_call_end(call, &ev, CT_SITE_FULL);
}

ct_public int prctl(int option, ...)
{
	const bool filter = option == PR_SET_SECCOMP || option == PR_SET_NO_NEW_PRIVS;
	const bool noted = option == PR_SET_THP_DISABLE || option == PR_SET_MEMORY_MERGE ||
			   option == PR_SET_VMA;
	struct ct_call call = { .t_ns = 0 };
	struct ct_thp_look look;
	unsigned long arg[4];
	bool quieted = false;
	va_list ap;
	int ret, i;

	va_start(ap, option);
	for (i = 0; i < 4; i++)
		arg[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (filter)
		quieted = ct_guard_quiet();
	else if (noted)
		ct_call_begin(&call);
	ct_thp_look_none(&look);
	if (option == PR_SET_VMA)
		ct_thp_look_edges(&look, &call, (void *)arg[1], arg[2]);
	if (CT_READY())
		ret = CT_NEXT(prctl)(option, arg[0], arg[1], arg[2], arg[3]);
	else
		ret = (int)ct_libc_ret(ct_sys5(SYS_prctl, option, arg[0], arg[1], arg[2], arg[3]));
	ct_thp_tell(&look, &call, CT_THP_VMA_NAME, 0);
	if (ret < 0 && quieted)
		ct_guard_loud();
	if (ret >= 0 && noted)
		note(&call, option, arg);
	return ret;
}
