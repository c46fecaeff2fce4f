/* SPDX-License-Identifier: MIT */
/*
 * Wrappers of the calls that hear of a child's end.
 *
 * The recorder hears of the end of a process that was killed when its own thread
 * comes to run; on a busy machine its parent may have waited for it by then, and
 * have given memory back that the two no longer shared.  So the parent tells when
 * it heard: the child was gone by that time.
 *
 * Invariant: the result, errno and what the caller's pointers hold are the next
 * function's.
 */
#include <sys/resource.h>
#include <sys/wait.h>

#include "preload/preload.h"

static void note_end(const struct ct_call *call, pid_t pid, int options)
{
	struct ct_event ev = { .type = CT_EV_REAPED, .arg = (u64)pid };

	/* With WUNTRACED or WCONTINUED it may be alive: the status is the caller's to read. */
	if (call->t_ns && pid > 0 && !(options & (WUNTRACED | WCONTINUED)))
		ct_event_now(&call->self, &ev, CT_SITE_NONE);
}

ct_public pid_t wait(int *status)
{
	struct ct_call call;
	pid_t pid;

	ct_call_begin(&call);
	pid = CT_NEXT(wait)(status);
	note_end(&call, pid, 0);
	return pid;
}

ct_public pid_t waitpid(pid_t which, int *status, int options)
{
	struct ct_call call;
	pid_t pid;

	ct_call_begin(&call);
	pid = CT_NEXT(waitpid)(which, status, options);
	note_end(&call, pid, options);
	return pid;
}

ct_public pid_t wait3(int *status, int options, struct rusage *usage)
{
	struct ct_call call;
	pid_t pid;

	ct_call_begin(&call);
	pid = CT_NEXT(wait3)(status, options, usage);
	note_end(&call, pid, options);
	return pid;
}

ct_public pid_t wait4(pid_t which, int *status, int options, struct rusage *usage)
{
	struct ct_call call;
	pid_t pid;

	ct_call_begin(&call);
	pid = CT_NEXT(wait4)(which, status, options, usage);
	note_end(&call, pid, options);
	return pid;
}

ct_public int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	struct ct_call call;
	int ret;

	ct_call_begin(&call);
	ret = CT_NEXT(waitid)(type, id, info, options);
	/* Stops are asked for by other flags here; without WEXITED nobody has ended. */
	if (!ret && info && (options & WEXITED) && !(options & (WSTOPPED | WCONTINUED)))
		note_end(&call, info->si_pid, 0);
	return ret;
}
