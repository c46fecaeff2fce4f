/* SPDX-License-Identifier: MIT */
/*
 * Before and after an exec.  A shell that looks for a command tries many paths:
 * those that are not there are not asked about.
 *
 * Invariant: after ct_exec_failed() the slot is as before, and the recorder has
 * been told.
 */
#include <errno.h>
#include <fcntl.h>

#include "channel/ask.h"
#include "traced/exechook.h"
#include "traced/probe.h"
#include "traced/sighandler.h"
#include "traced/sigmask.h"
#include "traced/stack.h"

/* The program's path into the slot, as far as it can be read. */
static void note_path(struct ct_slot *slot, const char *path)
{
	struct ct_probe probe = { 0 };
	size_t i;

	for (i = 0; path && i < sizeof(slot->exec_path) - 1; i++) {
		if (!ct_probe_ok(&probe, path + i) || !path[i])
			break;
		slot->exec_path[i] = path[i];
	}
	slot->exec_path[i] = '\0';
}

/* Certain to fail: nothing to read. */
static bool hopeless(const char *path)
{
	long ret = ct_sys4(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS);

	return ret == -ENOENT || ret == -ENOTDIR || ret == -EACCES || ret == -EFAULT;
}

void ct_exec_begin(struct ct_exec *exec, const char *path, bool certain, char *const *envp)
{
	struct ct_slot *slot;
	u32 ok = CT_STACKS_OK;

	exec->asked = false;
	exec->stopped = false;
	exec->masked = false;
	ct_env_init(&exec->env, envp);
	if (!ct_self_get(&exec->self)) {
		/* A vfork child is not asked either; its mask is inherited. */
		exec->masked = ct_sighandler_before_exec();
		return;
	}
	if (certain && hopeless(path))
		return;
	slot = &exec->self.seg->slots[exec->self.slot];
	ct_ask_join(exec->self.seg, exec->self.slot); /* an exit or exec of another thread */
	note_path(slot, path);
	slot->tid = exec->self.tid;
	slot->sp = (u64)__builtin_frame_address(0);
	slot->tp = ct_thread_pointer();
	exec->asked = true;
	exec->stopped = atomic_compare_exchange_strong_explicit(
		&slot->no_stacks, &ok, CT_STACKS_EXEC, memory_order_acq_rel, memory_order_relaxed);
	ct_ask(exec->self.seg, exec->self.slot, CT_ASK_EXEC);
	/* Whoever serves asks has seen that no more are wanted. */
	exec->masked = ct_sighandler_before_exec();
}

void ct_exec_failed(struct ct_exec *exec)
{
	struct ct_event ev = { .type = CT_EV_EXEC_FAIL, .arg = (u64)errno };
	u32 exec_now = CT_STACKS_EXEC;
	struct ct_slot *slot;

	ct_env_fini(&exec->env);
	if (exec->masked)
		ct_sigmask_unreal();
	if (!exec->asked)
		return;
	slot = &exec->self.seg->slots[exec->self.slot];
	slot->exec_path[0] = '\0';
	if (exec->stopped)
		atomic_compare_exchange_strong_explicit(&slot->no_stacks, &exec_now, CT_STACKS_OK,
							memory_order_acq_rel, memory_order_relaxed);
	ct_event_now(&exec->self, &ev, CT_SITE_NONE);
}
